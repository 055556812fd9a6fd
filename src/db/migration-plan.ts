import {
  DummyDriver,
  Kysely,
  type LogEvent,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
} from 'kysely'
import type { Db } from './database.ts'
import { concurrently, pendingIndexes } from './indexes.ts'
import { indexes, migrations, pendingMigrations, rejectUnfit } from './migrate.ts'

/** Locks on a table that block other transactions, as PostgreSQL names them (pg_locks.mode), weakest first. */
export const lockModes = [
  'ShareUpdateExclusiveLock',
  'ShareLock',
  'ShareRowExclusiveLock',
  'AccessExclusiveLock',
] as const
export type LockMode = (typeof lockModes)[number]

export type Locks = Map<string, LockMode>

export type PlannedMigration = { name: string; statements: string[]; locks: Locks }

/** The migrations that `migrate` would run, with their SQL and the locks on existing tables. Changes nothing. */
export async function planMigrations(db: Db): Promise<PlannedMigration[]> {
  await rejectUnfit(db)
  const pending = await pendingMigrations(db)
  const tablesBehind = await selectTablesBehind(db)
  const isNew = new Set<string>()
  const plan: PlannedMigration[] = []
  for (const name of pending) {
    const statements = await statementsOf(name)
    for (const statement of statements) {
      const table = /^create table (?:if not exists )?(\w+)/i.exec(statement)?.[1]
      if (table) isNew.add(table)
    }
    const locks = new Map([...locksOf(statements, tablesBehind)].filter(([table]) => !isNew.has(table)))
    plan.push({ name, statements, locks })
  }
  const isEmpty = pending.length === Object.keys(migrations).length
  for (const statement of await pendingIndexes(db, indexes)) {
    const statements = [isEmpty ? statement : concurrently(statement)]
    const locks = isEmpty ? new Map() : locksOf(statements, tablesBehind)
    plan.push({ name: 'indexes', statements, locks })
  }
  return plan
}

/** Migrations are lists of SQL that do not depend on what is stored, so they can be read without a database. */
export async function statementsOf(name: string): Promise<string[]> {
  const statements: string[] = []
  const db = new Kysely<unknown>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => new PostgresQueryCompiler(),
    },
    log: ({ query }: LogEvent) => void statements.push(query.sql.trim()),
  })
  await migrations[name as keyof typeof migrations].up(db)
  return statements
}

/**
 * The strongest lock on each table, by the kind of statement (PostgreSQL's documentation, "Explicit Locking"). Locks on
 * rows are left out: they last as long, but delay only transactions that change the same rows.
 */
export function locksOf(statements: string[], tablesBehind: ReadonlyMap<string, string>): Locks {
  const locks: Locks = new Map()
  const behind = new Map(tablesBehind)
  const add = (table: string | undefined, mode: LockMode) => {
    if (table === undefined) return
    const held = locks.get(table)
    if (!held || lockModes.indexOf(held) < lockModes.indexOf(mode)) locks.set(table, mode)
  }
  for (const statement of statements) {
    const text = statement.replaceAll(/--.*$/gm, '').replaceAll(/\s+/g, ' ').toLowerCase()
    const index = /^create (?:unique )?index (concurrently )?(?:if not exists )?(\w+) on (\w+)/.exec(text)
    if (index) {
      behind.set(index[2] ?? '', index[3] ?? '')
      add(index[3], index[1] ? 'ShareUpdateExclusiveLock' : 'ShareLock')
    }
    const dropped = /^drop index concurrently (\w+)/.exec(text)?.[1]
    if (dropped) add(behind.get(dropped), 'ShareUpdateExclusiveLock')
    for (const [pattern, mode] of byTable) add(pattern.exec(text)?.[1], mode)
    for (const [, name = ''] of text.matchAll(
      /\b(?:drop constraint|drop index|alter index) (?:if exists )?(\w+)/g,
    ))
      add(behind.get(name), 'AccessExclusiveLock')
    // A foreign key puts triggers on the table that it refers to.
    if (/^(create|alter) table/.test(text))
      for (const [, table] of text.matchAll(/\breferences (\w+)/g)) add(table, 'ShareRowExclusiveLock')
  }
  return locks
}

const byTable: [RegExp, LockMode][] = [
  [/^(?:create|alter|drop) table (?:if (?:not )?exists )?(\w+)/, 'AccessExclusiveLock'],
  [/^create (?:or replace )?trigger .*? on (\w+)/, 'ShareRowExclusiveLock'],
  [/^(?:drop|alter) trigger .*? on (\w+)/, 'AccessExclusiveLock'],
]

/** The table of each index by its name, and the referenced table of each foreign key by its name. */
export async function selectTablesBehind(db: Db): Promise<Map<string, string>> {
  const { rows } = await sql<{ name: string; table: string }>`
    select name.relname as name, of.relname as table
    from pg_index join pg_class name on name.oid = indexrelid join pg_class of on of.oid = indrelid
    where name.relnamespace = current_schema()::regnamespace
    union all
    select conname, of.relname from pg_constraint join pg_class of on of.oid = confrelid
    where connamespace = current_schema()::regnamespace`.execute(db)
  return new Map(rows.map(({ name, table }) => [name, table]))
}

import { sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import { eventsInsert, type NewEvent } from '../../db/events.ts'
import { statement } from '../../db/statement.ts'
import { type HashText, hashText, type SecretHash } from '../../shared/secret.ts'
import { columnsOf, type Given, secretColumns, tokenColumns } from '../create/insert-store.ts'

/** The token that a hash belongs to, and whether the token was imported with that hash. */
export type Known = { organizationId: string; tokenId: string; isImported: boolean }

const selectKnown = statement<{ hashes: SecretHash[] }, Known & { hash: SecretHash }>(
  'imported-hashes',
  (builder, parameter) => {
    const among = sql`any(${parameter('hashes')}::bytea[])`
    return sql<Known & { hash: SecretHash }>`
      select hash, organization_id, token_id, false as is_imported from token_secrets where hash = ${among}
      union all
      select hash, organization_id, token_id, false from superseded_secrets where hash = ${among}
      union all
      select imported_hash, organization_id, id, true from tokens where imported_hash = ${among}
      order by is_imported`.compile(builder)
  },
)

/** The hashes that tokens have or had; an imported one even after a rotation, for as long as its token exists. */
export async function findKnown(db: Db, hashes: SecretHash[]): Promise<Map<HashText, Known>> {
  const rows = await selectKnown(db, { hashes })
  return new Map(rows.map(({ hash, ...known }) => [hashText(hash), known]))
}

export type Import = {
  token: Given
  secret: { hash: SecretHash; hint: string }
  lastUsedAt: Date | null
  event: NewEvent
}

const insert = statement<{ rows: string; events: string }, { id: string }>(
  'tokens-import',
  (builder, parameter) =>
    sql<{ id: string }>`
      with given as materialized (
        select ${parameter('rows')}::json as rows, ${parameter('events')}::json as events
      ), secret as (
        insert into token_secrets (${secretColumns})
        select ${secretColumns} from given, json_populate_recordset(null::token_secrets, given.rows)
        on conflict (hash) do nothing
        returning token_id
      ), token as (
        insert into tokens (${tokenColumns}, imported_hash)
        select ${tokenColumns}, imported_hash from given, json_populate_recordset(null::tokens, given.rows)
        where id in (select token_id from secret)
        returning id
      ), event as (
        ${eventsInsert(sql`(select events from given)`)} where target_id in (select id::text from token)
      )
      select id from token`.compile(builder),
)

const insertUses = statement<{ rows: string }, never>('tokens-import-uses', (builder, parameter) =>
  sql<never>`
    update token_uses set last_used_at = given.last_used_at
    from json_populate_recordset(null::token_uses, ${parameter('rows')}) as given
    where token_uses.organization_id = given.organization_id and token_uses.token_id = given.token_id`.compile(
    builder,
  ),
)

/** Stores imported tokens with their events, except those whose hash another transaction stored first; returns the ids. */
export async function insertImports(tx: Db, imports: Import[]): Promise<Set<string>> {
  if (imports.length === 0) return new Set()
  // In an order that prevents deadlocks.
  const ordered = imports.toSorted((one, other) => Buffer.compare(one.secret.hash, other.secret.hash))
  const rows = ordered.map(({ token, secret }) => {
    const columns = columnsOf(token, { ...secret, signedBy: null })
    return { ...columns, imported_hash: columns.hash }
  })
  const inserted = await insert(tx, {
    rows: JSON.stringify(rows),
    events: JSON.stringify(ordered.map(({ event }) => event)),
  })
  const ids = new Set(inserted.map(({ id }) => id))
  const uses = ordered.flatMap(({ token, lastUsedAt }) =>
    lastUsedAt && ids.has(token.id)
      ? { organization_id: token.organizationId, token_id: token.id, last_used_at: lastUsedAt.toISOString() }
      : [],
  )
  if (uses.length > 0) await insertUses(tx, { rows: JSON.stringify(uses) })
  return ids
}

/** With more prefixes than this, the empty prefix replaces them: comparing must stay cheap. */
const mostPrefixes = 100

/** Records the prefixes of imported secrets; returns whether any of them is new. */
export async function recordPrefixes(tx: Db, prefixes: string[]): Promise<boolean> {
  const { rows } = await sql`
    insert into imported_prefixes (prefix)
    select distinct case when (select count(*) from imported_prefixes) < ${mostPrefixes} then prefix else '' end as prefix
    from unnest(${prefixes}::text[]) as given (prefix)
    where not exists (
      select from imported_prefixes as known where known.prefix in (given.prefix, '')
    )
    order by prefix
    on conflict do nothing
    returning prefix`.execute(tx)
  return rows.length > 0
}

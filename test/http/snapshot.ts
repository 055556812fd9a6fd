import { sql } from 'kysely'
import type { Db } from '../../src/db/database.ts'

export type Snapshot = Record<string, { rows: number; digest: string }>

/** The number of rows of every table, and a digest of their content. Recorded uses do not count as a change. */
export async function snapshot(db: Db): Promise<Snapshot> {
  const tables = await sql<{ name: string }>`
    select quote_ident(tablename) as name from pg_tables where schemaname = 'public' order by 1`.execute(db)
  const content = sql`(to_jsonb(t) - '{last_used_at,last_used_ip,use_count}'::text[])::text`
  const parts = tables.rows.map(
    ({ name }) => sql`
      select ${name} as name, count(*)::int as rows,
        md5(coalesce(string_agg(${content}, '' order by ${content}), '')) as digest
      from ${sql.raw(name)} t`,
  )
  const { rows } = await sql<{ name: string; rows: number; digest: string }>`
    ${sql.join(parts, sql` union all `)}`.execute(db)
  return Object.fromEntries(rows.map(({ name, rows, digest }) => [name, { rows, digest }]))
}

/** By how many rows the tables differ; unchanged counts are left out. */
export function growth(before: Snapshot, after: Snapshot): Record<string, number> {
  const differences = Object.keys(after).map((name): [string, number] => [
    name,
    (after[name]?.rows ?? 0) - (before[name]?.rows ?? 0),
  ])
  return Object.fromEntries(differences.filter(([, difference]) => difference !== 0))
}

/** The tables whose content has changed. */
export function changed(before: Snapshot, after: Snapshot): string[] {
  return Object.keys(after).filter((name) => after[name]?.digest !== before[name]?.digest)
}

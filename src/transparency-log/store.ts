import { sql, type Updateable } from 'kysely'
import type { Db } from '../db/database.ts'
import type { AuditEvent, LogLeaf, LogState, Tables } from '../db/tables.ts'
import { type Node, tileWidth } from '../shared/merkle-tree.ts'

export async function findState(db: Db): Promise<LogState> {
  return db.selectFrom('logState').selectAll().executeTakeFirstOrThrow()
}

/** Undefined while another transaction appends to the log. */
export async function lockState(tx: Db): Promise<LogState | undefined> {
  return tx.selectFrom('logState').selectAll().forUpdate().skipLocked().executeTakeFirst()
}

export async function waitForState(tx: Db): Promise<LogState> {
  return tx.selectFrom('logState').selectAll().forUpdate().executeTakeFirstOrThrow()
}

export async function updateState(tx: Db, change: Updateable<Tables['logState']>): Promise<void> {
  await tx.updateTable('logState').set(change).execute()
}

/** Without taking a lock: whether there is anything to append, to sign or to announce. */
export async function hasWork(
  db: Db,
  { canSign, announcedBefore }: { canSign: boolean; announcedBefore: Date },
): Promise<boolean> {
  const { rows } = await sql`
    select from log_state where exists (select from log_queue) or scanned_organization is not null
      or (${canSign}::boolean and size > checkpoint_size)
      or (checkpoint_size > announced_size and announced_at <= ${announcedBefore})`.execute(db)
  return rows.length > 0
}

/** Removes events from the queue; those that a scan has appended meanwhile are left out. */
export async function takeQueued(tx: Db, limit: number): Promise<AuditEvent[]> {
  const { rows } = await sql<AuditEvent>`
    with taken as (
      delete from log_queue where ctid = any (array(select ctid from log_queue limit ${limit}))
      returning organization_id, event_id
    )
    select event.* from (select distinct * from taken) taken
    join audit_events event on event.organization_id = taken.organization_id and event.id = taken.event_id
    where not exists (
      select from log_leaves leaf where leaf.organization_id = event.organization_id and leaf.event_id = event.id
    )
    order by event.occurred_at, event.id`.execute(tx)
  return rows
}

/** The events after this one, by their primary key. */
export async function scanEvents(
  tx: Db,
  after: { organizationId: string; eventId: string },
  limit: number,
): Promise<(AuditEvent & { isLogged: boolean })[]> {
  const { rows } = await sql<AuditEvent & { isLogged: boolean }>`
    select event.*, leaf.leaf_index is not null as is_logged from audit_events event
    left join log_leaves leaf on leaf.organization_id = event.organization_id and leaf.event_id = event.id
    where (event.organization_id, event.id) > (${after.organizationId}::uuid, ${after.eventId}::uuid)
    order by event.organization_id, event.id limit ${limit}`.execute(tx)
  return rows
}

/** Counts further events of these organizations, and returns how many each had before. */
export async function countEvents(tx: Db, added: Map<string, number>): Promise<Map<string, number>> {
  const rows = await tx
    .insertInto('logOrganizations')
    .values([...added].map(([organizationId, events]) => ({ organizationId, events: String(events) })))
    .onConflict((conflict) =>
      conflict
        .column('organizationId')
        .doUpdateSet({ events: sql`log_organizations.events + excluded.events` }),
    )
    .returningAll()
    .execute()
  return new Map(
    rows.map(({ organizationId, events }) => [
      organizationId,
      Number(events) - (added.get(organizationId) ?? 0),
    ]),
  )
}

/** As one array for each column, which PostgreSQL parses and plans faster than a list of rows. */
export async function insertLeaves(tx: Db, leaves: LogLeaf[]): Promise<void> {
  const column = <Name extends keyof LogLeaf>(name: Name) => leaves.map((leaf) => leaf[name])
  await sql`
    insert into log_leaves (leaf_index, organization_id, event_id, organization_index, salt, sequenced_at, hash)
    select * from unnest(${column('leafIndex')}::bigint[], ${column('organizationId')}::uuid[], ${column('eventId')}::uuid[],
      ${column('organizationIndex')}::bigint[], ${column('salt')}::bytea[], ${column('sequencedAt')}::timestamptz[],
      ${column('hash')}::bytea[])`.execute(tx)
}

export async function insertNodes(tx: Db, nodes: Node[]): Promise<void> {
  if (nodes.length === 0) return
  const rows = nodes.map(({ level, index, hash }) => ({ level, nodeIndex: String(index), hash }))
  await tx.insertInto('logNodes').values(rows).execute()
}

/** Up to `tileWidth` hashes of this level, in order. */
export async function selectTile(db: Db, level: number, index: number): Promise<Buffer[]> {
  const [first, end] = [index * tileWidth, (index + 1) * tileWidth].map(String) as [string, string]
  const rows = await (level === 0
    ? db
        .selectFrom('logLeaves')
        .select('hash')
        .where('leafIndex', '>=', first)
        .where('leafIndex', '<', end)
        .orderBy('leafIndex')
    : db
        .selectFrom('logNodes')
        .select('hash')
        .where('level', '=', level)
        .where('nodeIndex', '>=', first)
        .where('nodeIndex', '<', end)
        .orderBy('nodeIndex')
  ).execute()
  return rows.map(({ hash }) => hash)
}

/** The leaves of these events. */
export async function selectLeavesOf(db: Db, organizationId: string, eventIds: string[]): Promise<LogLeaf[]> {
  return db
    .selectFrom('logLeaves')
    .selectAll()
    .where('organizationId', '=', organizationId)
    .where(sql<boolean>`event_id = any (${eventIds}::uuid[])`)
    .execute()
}

export type Backlog = {
  size: number
  /** How long ago the oldest events that wait to be appended happened; about the oldest of them. */
  unsequencedAgeSeconds: number
  /** How many entries no checkpoint has. */
  unsigned: number
  checkpointAt: Date | null
}

export async function selectBacklog(db: Db, now: Date): Promise<Backlog> {
  const { rows } = await sql<Backlog>`
    select size::float8, (size - checkpoint_size)::float8 as unsigned, checkpoint_at,
      greatest(0, coalesce(extract(epoch from ${now}::timestamptz - (
        select min(occurred_at) from (select * from log_queue limit 1000) queued
        join audit_events event on event.organization_id = queued.organization_id and event.id = queued.event_id
      )), 0))::float8 as unsequenced_age_seconds
    from log_state`.execute(db)
  const [row] = rows
  if (!row) throw new Error('log_state has no row')
  return row
}

export type LeafWithEvent = LogLeaf & { event: AuditEvent | null }

/** Leaves with their events, in the order of the tree. */
export async function selectLeavesAfter(db: Db, index: number, limit: number): Promise<LeafWithEvent[]> {
  const leaves = await db
    .selectFrom('logLeaves')
    .selectAll()
    .where('leafIndex', '>', String(index))
    .orderBy('leafIndex')
    .limit(limit)
    .execute()
  const { rows: events } = await sql<AuditEvent>`
    select event.* from unnest(${leaves.map((leaf) => leaf.organizationId)}::uuid[], ${leaves.map((leaf) => leaf.eventId)}::uuid[])
      as leaf (organization_id, event_id)
    join audit_events event on event.organization_id = leaf.organization_id and event.id = leaf.event_id`.execute(
    db,
  )
  const byId = new Map(events.map((event) => [`${event.organizationId} ${event.id}`, event]))
  return leaves.map((leaf) => ({
    ...leaf,
    event: byId.get(`${leaf.organizationId} ${leaf.eventId}`) ?? null,
  }))
}

export async function selectNodes(db: Db): Promise<Node[]> {
  const rows = await db.selectFrom('logNodes').selectAll().execute()
  return rows.map(({ level, nodeIndex, hash }) => ({ level, index: Number(nodeIndex), hash }))
}

export async function selectOrganizations(db: Db): Promise<{ organizationId: string; events: string }[]> {
  return db.selectFrom('logOrganizations').selectAll().execute()
}

type EventFacts = Pick<AuditEvent, 'organizationId' | 'id' | 'occurredAt'>

/** Events that are neither in the log nor about to be. */
export async function selectStrays(db: Db, limit: number): Promise<EventFacts[]> {
  const { rows } = await sql<EventFacts>`
    select organization_id, id, occurred_at from audit_events event, log_state
    where not exists (select from log_leaves where organization_id = event.organization_id and event_id = event.id)
      and not exists (select from log_queue where organization_id = event.organization_id and event_id = event.id)
      and (scanned_organization is null
        or (event.organization_id, event.id) <= (scanned_organization, scanned_event))
    limit ${limit}`.execute(db)
  return rows
}

/** Events that are about to be appended although they happened long ago. */
export async function selectLateInQueue(db: Db, before: Date): Promise<EventFacts[]> {
  const { rows } = await sql<EventFacts>`
    select organization_id, id, occurred_at from audit_events
    where (organization_id, id) in (select organization_id, event_id from log_queue) and occurred_at < ${before}`.execute(
    db,
  )
  return rows
}

import type { Caller } from '../access/caller.ts'
import type { Db } from '../db/database.ts'
import type { AuditEvent } from '../db/tables.ts'
import { positionOf, readableLog } from './change-log.ts'
import { type EventFilter, selectEvents } from './store.ts'

const batchSize = 500

/**
 * The change log in batches, newest event first. The next batch is read only when the previous one has been consumed,
 * so that memory use is constant and a slow reader holds no database connection. The first batch is read at once, so
 * that errors are known before the response begins.
 */
export async function exportAuditEvents(
  db: Db,
  caller: Caller,
  organization: string,
  filter: EventFilter,
): Promise<AsyncIterable<AuditEvent[]>> {
  const organizationId = await readableLog(db, caller, organization)
  const first = await selectEvents(db, organizationId, { ...filter, limit: batchSize })
  return batches(db, organizationId, filter, first)
}

async function* batches(
  db: Db,
  organizationId: string,
  filter: EventFilter,
  first: AuditEvent[],
): AsyncIterable<AuditEvent[]> {
  let batch = first
  for (;;) {
    const last = batch.at(-1)
    if (!last) return
    yield batch
    if (batch.length <= batchSize) return
    batch = await selectEvents(db, organizationId, { ...filter, before: positionOf(last), limit: batchSize })
  }
}

import type { Db } from '../db/database.ts'
import type { Event } from './events.ts'
import * as store from './store.ts'

const atOnce = 500

/**
 * Takes events out of the outbox and passes them to `handle`, in the order of their subject and in transactions that
 * remove them only if `handle` succeeds. Does nothing while another instance is taking events, or after `isEnding`.
 */
export async function takeEvents(
  db: Db,
  handle: (tx: Db, events: Event[]) => Promise<void>,
  isEnding: () => boolean,
): Promise<void> {
  let more = await store.hasEvents(db)
  while (more && !isEnding()) {
    more = await db.transaction().execute(async (tx) => {
      if (!(await store.lockOutbox(tx))) return false
      const taken = await store.takeEvents(tx, atOnce)
      if (taken.events.length > 0) await handle(tx, taken.events)
      return taken.more
    })
  }
}

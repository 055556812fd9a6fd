import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import { deleteOldDeliveries } from './delivery-store.ts'
import { deleteEndedSecrets } from './store.ts'

/** How long deliveries can be listed and replayed. */
export const keptMs = 30 * 24 * 60 * 60 * 1000

/** Deletes old deliveries, and secrets that no longer sign. */
export async function tidyWebhooks(db: Db, now: Date): Promise<void> {
  await deleteEndedSecrets(db, now)
  const before = new Date(now.getTime() - keptMs)
  await inBatches(() => deleteOldDeliveries(db, before, batchSize))
}

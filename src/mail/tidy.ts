import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import { deleteOldMails } from './store.ts'

const keptMs = 30 * 24 * 60 * 60 * 1000

/** Deletes old mails, sent or not. */
export async function tidyMails(db: Db, now: Date): Promise<void> {
  const before = new Date(now.getTime() - keptMs)
  await inBatches(() => deleteOldMails(db, before, batchSize))
}

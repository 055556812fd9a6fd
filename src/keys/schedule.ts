import type { Db } from '../db/database.ts'
import { maintainKeys } from './maintenance.ts'
import type { Signing } from './signing.ts'

const everyMs = 60 * 60 * 1000

/** Maintains the keys once an hour until it is stopped; failures are logged and retried an hour later. */
export function scheduleKeyMaintenance(
  db: Db,
  signing: Signing,
  rotationDays: number,
  log: { error(facts: object, message: string): void },
): { stop(): Promise<void> } {
  let running = Promise.resolve()
  const maintain = () => {
    running = maintainKeys(db, signing, rotationDays, new Date()).catch((err: unknown) => {
      log.error({ err }, 'signing-key maintenance failed')
    })
  }
  maintain()
  const timer = setInterval(maintain, everyMs).unref()
  return {
    async stop() {
      clearInterval(timer)
      await running
    },
  }
}

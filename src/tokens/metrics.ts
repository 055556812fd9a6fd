import { Gauge, type Registry } from 'prom-client'
import type { Db } from '../db/database.ts'
import { countExpiring, mostCounted } from './expiring-store.ts'

const days = [1, 7, 30]

/** Returns a function that counts the tokens that expire soon, which are the same for every process. */
export function measureExpiring(registry: Registry, db: Db): (now: Date) => Promise<void> {
  const expiring = new Gauge({
    name: 'counterfoil_tokens_expiring',
    help: `Tokens that expire within this number of days and are not revoked; at most ${mostCounted} are counted`,
    labelNames: ['days'],
    aggregator: 'max',
    registers: [registry],
  })
  return async (now) => {
    // If the database does not respond, no old numbers must remain.
    expiring.reset()
    for (const [index, count] of (await countExpiring(db, now, days)).entries())
      expiring.set({ days: days[index] ?? 0 }, count)
  }
}

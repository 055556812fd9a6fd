import { Gauge, type Registry } from 'prom-client'
import type { Db } from '../db/database.ts'
import { selectBacklog } from './store.ts'

/** Returns what reads how far the transparency log is, which is the same for every process. */
export function measureLog(registry: Registry, db: Db): (now: Date) => Promise<void> {
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `counterfoil_log_${name}`, help, aggregator: 'max', registers: [registry] })
  const size = gauge('size', 'Events in the transparency log')
  const unsigned = gauge('unsigned_events', 'Events in the transparency log that no signed checkpoint has')
  const age = gauge(
    'unsequenced_age_seconds',
    'The age of the oldest events that are not in the transparency log yet',
  )
  const checkpoint = gauge(
    'checkpoint_seconds',
    'When the last checkpoint of the transparency log was signed, in seconds since 1970; 0 without one',
  )
  return async (now) => {
    // A database that does not answer must not leave old numbers.
    for (const each of [size, unsigned, age]) each.set(Number.NaN)
    const backlog = await selectBacklog(db, now)
    size.set(backlog.size)
    unsigned.set(backlog.unsigned)
    age.set(backlog.unsequencedAgeSeconds)
    checkpoint.set((backlog.checkpointAt?.getTime() ?? 0) / 1000)
  }
}

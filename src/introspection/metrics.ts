import { Counter, type Registry } from 'prom-client'
import type { Credentials } from './credentials.ts'

/** Counts introspections by their answer, and what of it went to the database. */
export function measureIntrospection(registry: Registry, credentials: Credentials) {
  const registers = [registry]
  const answers = { true: 0, false: 0 }
  new Counter({
    name: 'counterfoil_introspections_total',
    help: 'Introspections that were answered, by whether the token was good',
    labelNames: ['active'],
    registers,
    // Counted apart, since prom-client makes a text of the labels with every count.
    collect() {
      this.reset()
      for (const active of ['true', 'false'] as const) this.inc({ active }, answers[active])
    },
  })
  new Counter({
    name: 'counterfoil_lookups_total',
    help: 'Secrets that were looked up in the database rather than in memory',
    registers,
    collect() {
      this.reset()
      this.inc(credentials.lookups())
    },
  })
  return (isActive: boolean) => {
    answers[isActive ? 'true' : 'false'] += 1
  }
}

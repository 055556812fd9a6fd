import { Counter, type Registry } from 'prom-client'
import type { Credentials } from './credentials.ts'

/** Counts introspections by their answer, and what of it went to the database. */
export function measureIntrospection(registry: Registry, credentials: Credentials) {
  const registers = [registry]
  const answers = new Counter({
    name: 'counterfoil_introspections_total',
    help: 'Introspections that were answered, by whether the token was good',
    labelNames: ['active'],
    registers,
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
  // Looking a series up by its labels would cost more than counting.
  const active = answers.labels({ active: 'true' })
  const inactive = answers.labels({ active: 'false' })
  return (isActive: boolean) => (isActive ? active : inactive).inc()
}

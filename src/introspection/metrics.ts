import { Counter, Gauge, type Registry } from 'prom-client'
import type { CredentialVerifier } from '../credentials/credential-verifier.ts'
import type { UsageRecorder } from '../credentials/usage-recorder.ts'

/** Counts introspections by result and by whether they needed a database lookup; shows the state of the lease. */
export function measureIntrospection(
  registry: Registry,
  { credentials, usage }: { credentials: CredentialVerifier; usage: UsageRecorder },
) {
  const registers = [registry]
  const answers = { true: 0, false: 0 }
  new Counter({
    name: 'counterfoil_introspections_total',
    help: 'Introspection responses, by whether the token was good',
    labelNames: ['active'],
    registers,
    // Copied on demand, since prom-client formats the labels with every count.
    collect() {
      this.reset()
      for (const active of ['true', 'false'] as const) this.inc({ active }, answers[active])
    },
  })
  new Counter({
    name: 'counterfoil_lookups_total',
    help: 'Secrets that were looked up in the database instead of the cache',
    registers,
    collect() {
      this.reset()
      this.inc(credentials.lookups())
    },
  })
  new Counter({
    name: 'counterfoil_cache_hits_total',
    help: 'Secrets that were found in the cache, by whether they were good',
    labelNames: ['outcome'],
    registers,
    collect() {
      this.reset()
      for (const [outcome, times] of Object.entries(credentials.cacheHits())) this.inc({ outcome }, times)
    },
  })
  new Counter({
    name: 'counterfoil_rejected_credentials_total',
    help: 'Secrets that were not accepted, of callers and in introspections, by reason',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset()
      const rejections = { ...credentials.rejections(), ...usage.rejections() }
      for (const [reason, times] of Object.entries(rejections)) this.inc({ reason }, times)
    },
  })
  new Gauge({
    name: 'counterfoil_lease_held',
    help: '1 while the lease holds and the cache may answer',
    aggregator: 'min',
    registers,
    collect() {
      this.set(credentials.status().held ? 1 : 0)
    },
  })
  new Gauge({
    name: 'counterfoil_beat_age_seconds',
    help: 'How long ago the newest beat that came back was sent; from 2 on, introspection fails',
    aggregator: 'max',
    registers,
    collect() {
      this.set(credentials.status().beatAgeMs / 1000)
    },
  })
  new Counter({
    name: 'counterfoil_lease_losses_total',
    help: 'How often the cache lease was lost, by reason',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset()
      for (const [reason, times] of Object.entries(credentials.status().losses)) this.inc({ reason }, times)
    },
  })
  new Counter({
    name: 'counterfoil_timeline_changes_total',
    help: 'How often the database continued on another timeline, from which acknowledged changes may be missing',
    registers,
    collect() {
      this.reset()
      this.inc(credentials.status().timelineChanges)
    },
  })
  return (isActive: boolean) => {
    answers[isActive ? 'true' : 'false'] += 1
  }
}

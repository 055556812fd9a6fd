import t from 'tap'
import { createTime } from '../support/credentials.ts'
import { createWorld } from '../support/world.ts'

t.test('introspections are counted by result, and database lookups too', async (t) => {
  const held = Promise.withResolvers<void>()
  const world = await createWorld(t, { hot: { ...createTime(), onLease: () => held.resolve() } })
  await held.promise
  const { secret } = await world.issue()
  // Until the instance has heard of the new token, it may forget what it looked up.
  await world.credentials.settled()
  for (const token of [secret, secret, 'garbage']) await world.introspect(token)
  const { text } = await world.ask('GET', '/metrics')
  t.match(text, 'counterfoil_introspections_total{active="true"} 2')
  t.match(text, 'counterfoil_introspections_total{active="false"} 1')
  t.match(text, 'counterfoil_lookups_total 3')
  t.match(text, /counterfoil_lookup_duration_seconds_count [1-9]/)
  t.match(text, /counterfoil_cache_hits_total\{outcome="good"\} [1-9]/)
  t.match(text, 'counterfoil_pool_waiting 0')
})

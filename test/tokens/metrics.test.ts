import { Registry } from 'prom-client'
import t from 'tap'
import { measureSigningKey } from '../../src/keys/metrics.ts'
import { measureExpiring } from '../../src/tokens/metrics.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)

t.test('tokens that expire soon are counted, without revoked and expired ones', async (t) => {
  for (const [count, days] of [
    [1, 1],
    [2, 7],
    [3, 30],
    [1, 60],
  ] as const)
    for (let n = 0; n < count; n += 1) await world.issue({ lifetime_days: days })
  const { id } = await world.issue({ lifetime_days: 1 })
  await world.ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
  await world.issue({ never_expires: true })
  const registry = new Registry()
  const measure = measureExpiring(registry, world.db)
  const counts = async (now: Date) => {
    await measure(now)
    return [...(await registry.metrics()).matchAll(/\{days="(\d+)"\} (\d+)/g)].map(
      ([, days, count]) => `${days}: ${count}`,
    )
  }
  t.same(await counts(world.clock.now), ['1: 1', '7: 3', '30: 6'])
  t.same(await counts(new Date(world.clock.now.getTime() + 1.5 * day)), ['1: 0', '7: 2', '30: 5'])
})

t.test('when the signing key was activated is known', async (t) => {
  const registry = new Registry()
  await measureSigningKey(registry, world.db)(world.clock.now)
  t.match(
    await registry.metrics(),
    `counterfoil_signing_key_activated_seconds ${world.clock.now.getTime() / 1000}`,
  )
})

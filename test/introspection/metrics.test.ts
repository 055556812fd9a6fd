import t from 'tap'
import { createTime } from '../support/credentials.ts'
import { until } from '../support/until.ts'
import { createWorld, day } from '../support/world.ts'

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
  t.match(text, /counterfoil_revocation_lag_seconds_count [1-9]/)
  t.match(text, /counterfoil_cache_hits_total\{outcome="good"\} [1-9]/)
  t.match(text, 'counterfoil_pool_waiting 0')
})

t.test('secrets that are not accepted are counted by reason', async (t) => {
  const world = await createWorld(t)
  const { ask, clock, introspect, issue, manager } = world
  const path = '/v1/organizations/default/tokens'
  const change = (token: { id: string }, action: string, body?: object) =>
    ask('POST', `${path}/${token.id}/${action}`, { body })
  const introspector = { type: 'management', scopes: ['tokens:introspect'] }
  const narrow = await manager(['tokens:introspect'], 'default', { narrowed_to: { types: ['scim'] } })
  const suspended = { owner: { subject: 'suspended' } }
  const good = await issue()
  const mistyped = (n: number) => `${good.secret.slice(0, -4)}${String(n).padStart(4, '0')}`
  const secrets = {
    unknown: 'garbage',
    malformed: mistyped(0),
    expired: await issue({ lifetime_days: 1 }),
    revoked: await issue(),
    not_yet_valid: await issue({ not_before: new Date(clock.now.getTime() + 9 * day).toISOString() }),
    suspended: await issue(suspended),
    superseded: await issue(),
    lapsed: '',
    network: await issue({ allowed_cidrs: ['192.0.2.0/24'] }),
    not_visible: good,
  }
  const secretOf = (reason: string) => {
    const token = secrets[reason as keyof typeof secrets]
    return typeof token === 'string' ? token : token.secret
  }
  await change(secrets.revoked, 'revoke')
  await ask('POST', '/v1/organizations/default/owners/suspended/suspend')
  await change(secrets.superseded, 'rotate', { activation: 'now', overlap_seconds: 3600 })
  const rotated = await change(good, 'rotate', { activation: 'first_use', overlap_seconds: 3600 })
  secrets.lapsed = rotated.body.secret
  clock.advance(8 * day)
  const counted = async (): Promise<Record<string, number>> => {
    const { text } = await ask('GET', '/metrics')
    const lines = text.matchAll(/^counterfoil_rejected_credentials_total\{reason="(\w+)"\} (\d+)/gm)
    return Object.fromEntries([...lines].map(([, reason, times]) => [reason, Number(times)]))
  }
  t.same(
    Object.keys(await counted()).toSorted(),
    Object.keys(secrets).toSorted(),
    'each has a series from the start',
  )
  // Until it is known what imported secrets begin with, a checksum says nothing, and the secret is looked up.
  let n = 0
  await until(async () => {
    n += 1
    await introspect(mistyped(n))
    return (await counted()).malformed !== 0
  })
  for (const reason of Object.keys(secrets)) {
    const before = await counted()
    const caller = reason === 'not_visible' ? narrow : world.admin
    // The second time, the cache knows.
    for (const _ of [1, 2]) t.same(await introspect(secretOf(reason), caller), { active: false }, reason)
    const after = await counted()
    for (const [name, times] of Object.entries(after))
      t.equal(times - (before[name] ?? 0), name === reason ? 2 : 0, `${reason}: ${name}`)
  }
  const far = await issue({ ...introspector, allowed_cidrs: ['192.0.2.0/24'] })
  const { network = 0 } = await counted()
  t.equal((await ask('GET', path, { token: far.secret })).status, 401)
  t.equal((await counted()).network, network + 1, 'of callers too')
})

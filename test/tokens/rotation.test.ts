// A token outlives its secret: rotation in place, with an overlap.
import { randomUUID } from 'node:crypto'
import { inflateSync } from 'node:zlib'
import { decodeJwt } from 'jose'
import t from 'tap'
import { activateSecret } from '../../src/tokens/rotate/activate.ts'
import { startInstance } from '../support/credentials.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const { clock } = world
const hour = 60 * 60 * 1000
const pathOf = ({ id }: { id: string }, organization = 'default') =>
  `/v1/organizations/${organization}/tokens/${id}`

async function rotate(token: { id: string }, body: object = {}, more: object = {}) {
  return world.ask('POST', `${pathOf(token)}/rotate`, { body, ...more })
}

async function rotated(token: { id: string }, body: object = {}, more: object = {}) {
  const answer = await rotate(token, body, more)
  if (answer.status !== 200) throw new Error(answer.text)
  return answer.body
}

async function secretsOf(token: { id: string }) {
  await world.usage.flush()
  return (await world.ask('GET', `${pathOf(token)}/secrets`)).body.items
}

async function statuses(token: { id: string }) {
  return (await secretsOf(token)).map(({ status }: any) => status)
}

async function actionsOf(token: { id: string }) {
  const { body } = await world.ask('GET', `/v1/organizations/default/audit-events?target=${token.id}`)
  return body.items.map(({ action }: any) => action)
}

const active = async (secret: string) => (await world.introspect(secret)).active

t.test('a rotated token keeps its id, history, scopes and limits', async (t) => {
  const token = await world.issue({ scopes: ['read'], allowed_cidrs: ['192.0.2.0/24'], comment: 'Ours' })
  clock.advance(hour)
  const { secret, secrets, warnings, ...after } = await rotated(token)
  t.not(secret, token.secret)
  t.equal(after.hint, `${secret.slice(0, 8)}…${secret.slice(-4)}`)
  t.same(warnings, [])
  const { secret: _, warnings: __, hint, updated_at, ...before } = token
  t.match(after, before)
  t.equal(after.updated_at, clock.now.toISOString())
  t.same(
    secrets.map((one: any) => [one.status, one.hint]),
    [
      ['current', after.hint],
      ['overlapping', hint],
    ],
  )
})

t.test('both secrets are good during the overlap, and the old one no longer', async (t) => {
  const token = await world.issue()
  const { secret } = await rotated(token, { overlap_seconds: 3600 })
  const end = Math.floor(clock.now.getTime() / 1000) + 3600
  t.match(await world.introspect(token.secret), {
    active: true,
    exp: end,
    jti: token.id,
    client_id: token.id,
  })
  const answer = await world.introspect(secret)
  t.match(answer, { active: true, client_id: token.id })
  t.notOk(answer.exp)
  t.not(answer.jti, token.id)
  clock.advance(hour - 1)
  t.ok(await active(token.secret))
  clock.advance(1)
  t.notOk(await active(token.secret))
  t.ok(await active(secret))
  t.same(await statuses(token), ['current', 'superseded'])
  await world.rotations.flush()
  t.notOk(await active(token.secret))
  t.same(await statuses(token), ['current', 'superseded'])
})

t.test('without an overlap the old secret ends at once, whatever else is good', async (t) => {
  const token = await world.issue()
  const second = await rotated(token, { overlap_seconds: 3600 })
  await world.introspect(second.secret)
  await world.usage.flush()
  const pending = await rotated(token, { activation: 'first_use' })
  const third = await rotated(token, { overlap_seconds: 0 })
  for (const { secret } of [token, second, pending]) t.notOk(await active(secret))
  t.ok(await active(third.secret))
  t.same(await statuses(token), ['current', 'superseded', 'superseded'])
})

t.test("the old secret does not outlive the token's previous expiry", async (t) => {
  const token = await world.issue({ lifetime_days: 1 })
  const { secret, expires_at } = await rotated(token, { overlap_seconds: 2 * 86_400, lifetime_days: 10 })
  t.equal(expires_at, new Date(clock.now.getTime() + 10 * day).toISOString())
  clock.advance(day)
  t.notOk(await active(token.secret))
  t.ok(await active(secret))
})

t.test('with first_use the overlap begins when the new secret is first presented', async (t) => {
  const token = await world.issue({ lifetime_days: 100 })
  const { secret, hint, secrets } = await rotated(token, {
    activation: 'first_use',
    overlap_seconds: 3600,
    never_expires: true,
  })
  t.equal(hint, token.hint)
  t.equal(secrets[0].lapses_at, new Date(clock.now.getTime() + 7 * day).toISOString())
  clock.advance(6 * day)
  t.ok(await active(token.secret))
  t.same(await statuses(token), ['pending', 'current'])
  t.equal((await world.ask('GET', pathOf(token))).body.expires_at, token.expires_at)

  t.ok(await active(secret))
  t.same(await statuses(token), ['current', 'overlapping'])
  t.match(await actionsOf(token), ['token.rotation_activated', 'token.rotated', 'token.created'])
  const after = (await world.ask('GET', pathOf(token))).body
  t.equal(after.hint, `${secret.slice(0, 8)}…${secret.slice(-4)}`)
  t.equal(after.expires_at, null)
  clock.advance(hour)
  t.notOk(await active(token.secret))
  t.ok(await active(secret))
})

t.test('a rotation whose secret is never used lapses', async (t) => {
  const token = await world.issue()
  const { secret } = await rotated(token, { activation: 'first_use' })
  clock.advance(7 * day)
  t.notOk(await active(secret))
  t.same(await statuses(token), ['current'])
  await world.rotations.flush()
  t.notOk(await active(secret))
  t.ok(await active(token.secret))
  t.equal((await world.ask('POST', `${pathOf(token)}/rotate/cancel`)).body.code, 'not_pending')
})

t.test('a pending secret of a token that is not good changes nothing', async (t) => {
  const token = await world.issue()
  const { secret } = await rotated(token, { activation: 'first_use' })
  await world.ask('POST', `${pathOf(token)}/revoke`)
  t.notOk(await active(secret))
  t.same(await statuses(token), ['pending', 'current'])
})

t.test('two instances that see the first use activate the secret once', async (t) => {
  const token = await world.issue()
  const { secret } = await rotated(token, { activation: 'first_use', overlap_seconds: 3600 })
  const activate = (hash: any, now: Date, from: string | null) => activateSecret(world.db, hash, now, from)
  const instances = await Promise.all([
    startInstance(t, world, { activate }),
    startInstance(t, world, { activate, cacheSize: 0 }),
  ])
  t.same(await Promise.all(instances.map(({ accepts }) => accepts(secret))), [true, true])
  t.same(await statuses(token), ['current', 'overlapping'])
  t.same((await actionsOf(token)).filter((action: string) => action === 'token.rotation_activated').length, 1)
})

t.test('an overlap can be finished, and a pending rotation cancelled', async (t) => {
  const token = await world.issue()
  const { secret } = await rotated(token)
  t.equal((await world.ask('POST', `${pathOf(token)}/rotate/finish`)).status, 200)
  t.notOk(await active(token.secret))
  t.ok(await active(secret))
  t.equal((await world.ask('POST', `${pathOf(token)}/rotate/finish`)).status, 200, 'nothing is left to do')

  const pending = await rotated(token, { activation: 'first_use' })
  t.equal((await world.ask('POST', `${pathOf(token)}/rotate/cancel`)).status, 200)
  t.notOk(await active(pending.secret))
  t.same(await statuses(token), ['current', 'superseded'])
  t.equal((await world.ask('POST', `${pathOf(token)}/rotate/cancel`)).body.code, 'not_pending')
  t.same(await actionsOf(token), [
    'token.rotation_cancelled',
    'token.rotated',
    'token.rotation_finished',
    'token.rotated',
    'token.created',
  ])
})

t.test('a lost response does not lock the client out', async (t) => {
  const token = await world.issue()
  const headers = { 'idempotency-key': randomUUID() }
  const first = await rotate(token, { overlap_seconds: 60 }, { headers })
  const again = await rotate(token, { overlap_seconds: 60 }, { headers })
  t.equal(again.body.secret, first.body.secret)
  t.equal(again.headers['idempotency-replayed'], 'true')
  t.same(await statuses(token), ['current', 'overlapping'])

  // Without the key: the secret that was lost is replaced, and the one in use gets the overlap asked for.
  const { secret, secrets } = await rotated(token, { overlap_seconds: 3600 })
  t.notOk(await active(first.body.secret))
  t.ok(await active(token.secret))
  t.equal(secrets[1].valid_until, new Date(clock.now.getTime() + hour).toISOString())
  t.ok(await active(secret))
  await world.usage.flush()
  t.match(await rotate(token, { overlap_seconds: 60 }), {
    status: 409,
    body: { code: 'rotation_in_progress' },
  })
  t.equal((await world.ask('POST', `${pathOf(token)}/rotate/finish`)).status, 200)
  t.equal((await rotate(token, { overlap_seconds: 60 })).status, 200)
})

t.test('a further pending secret replaces the one before', async (t) => {
  const token = await world.issue()
  const lost = await rotated(token, { activation: 'first_use' })
  const { secret } = await rotated(token, { activation: 'first_use' })
  t.notOk(await active(lost.secret))
  t.ok(await active(secret))
})

t.test('at most two secrets are good: a third ends the oldest', async (t) => {
  const token = await world.issue()
  const second = await rotated(token)
  const third = await rotated(token, { activation: 'first_use' })
  t.ok(await active(second.secret))
  t.ok(await active(token.secret))
  t.ok(await active(third.secret))
  t.ok(await active(second.secret))
  t.notOk(await active(token.secret))
})

t.test('uses are counted by secret', async (t) => {
  const token = await world.issue({ allowed_cidrs: ['192.0.2.0/24'] })
  const use = (secret: string, client_ip: string) =>
    world.ask('POST', '/introspect', { form: { token: secret, client_ip } })
  const at = () => clock.now.toISOString()
  const first = at()
  await use(token.secret, '192.0.2.1')
  await world.usage.flush()
  // Not written yet when the token is rotated.
  await use(token.secret, '192.0.2.1')
  const { secret } = await rotated(token)
  await world.usage.flush()
  clock.advance(hour)
  await use(token.secret, '192.0.2.2')
  for (let i = 0; i < 3; i++) await use(secret, '192.0.2.3')
  t.match(await secretsOf(token), [
    { use_count: 3, first_used_at: at(), last_used_at: at(), last_used_ip: '192.0.2.3' },
    { use_count: 3, first_used_at: first, last_used_at: at(), last_used_ip: '192.0.2.2' },
  ])
  const [uses] = await world.db.selectFrom('tokenUses').selectAll().where('tokenId', '=', token.id).execute()
  t.equal(uses?.useCount, '6')
})

t.test('policy sets the overlap and its maximum, and what a new expiry may be', async (t) => {
  const body = {
    rotation: { default_overlap_seconds: 60, maximum_overlap_seconds: 120, first_use_within_days: 1 },
    lifetime: { maximum_days: 10, on_too_long: 'reduce' },
  }
  await world.ask('PUT', '/v1/organizations/default/policy', { body })
  t.teardown(() => world.ask('PUT', '/v1/organizations/default/policy', { body: {} }))
  const token = await world.issue({ lifetime_days: 5 })
  const refused = await rotate(token, { overlap_seconds: 121 })
  t.match(refused, { status: 422, body: { code: 'invalid_value', errors: [{ field: 'overlap_seconds' }] } })
  const { expires_at, warnings, secrets } = await rotated(token, { lifetime_days: 20 })
  t.equal(expires_at, new Date(clock.now.getTime() + 10 * day).toISOString())
  t.match(warnings, [{ code: 'lifetime_reduced' }])
  t.equal(secrets[1].valid_until, new Date(clock.now.getTime() + 60_000).toISOString())
})

t.test('the default overlap must fit the maximum, or yields to it', async (t) => {
  const path = '/v1/organizations/default/policy'
  const put = (rotation: object) => world.ask('PUT', path, { body: { rotation } })
  t.teardown(() => world.ask('PUT', path, { body: {} }))
  t.match(await put({ default_overlap_seconds: 61, maximum_overlap_seconds: 60 }), {
    status: 422,
    body: { errors: [{ field: 'rotation.default_overlap_seconds' }] },
  })
  t.match((await put({ maximum_overlap_seconds: 60 })).body.policy, {
    rotation: { default_overlap_seconds: 60, maximum_overlap_seconds: 60 },
  })
})

t.test('a revoked, expired or suspended token is not rotated', async (t) => {
  const revoked = await world.issue()
  await world.ask('POST', `${pathOf(revoked)}/revoke`)
  t.match(await rotate(revoked), { status: 409, body: { code: 'not_rotatable' } })
  const expired = await world.issue({ lifetime_days: 1 })
  clock.advance(day)
  t.match(await rotate(expired), { status: 409, body: { code: 'not_rotatable' } })
  await world.ask('POST', '/v1/organizations', { body: { key: 'asleep', name: 'Asleep' } })
  const token = await world.issue({}, 'asleep')
  await world.ask('POST', '/v1/organizations/asleep/suspend')
  const answer = await world.ask('POST', `${pathOf(token, 'asleep')}/rotate`, { body: {} })
  t.match(answer, { status: 409, body: { code: 'suspended' } })
})

t.test('If-Match prevents rotating twice', async (t) => {
  const token = await world.issue()
  const { headers } = await world.ask('GET', pathOf(token))
  const once = { headers: { 'if-match': headers.etag } }
  t.equal((await rotate(token, {}, once)).status, 200)
  t.equal((await rotate(token, {}, once)).status, 412)
})

t.test('with tokens:own, users rotate their own tokens only', async (t) => {
  const owner = { subject: 'u-rotating' }
  const mine = await world.manager(['tokens:own'], 'default', { owner })
  const own = await world.issue({ owner })
  const other = await world.issue({ owner: { subject: 'u-other' } })
  t.equal((await rotate(own, {}, { token: mine })).status, 200)
  for (const action of ['rotate', 'rotate/finish', 'rotate/cancel'])
    t.equal((await world.ask('POST', `${pathOf(other)}/${action}`, { token: mine })).status, 404)
  t.equal((await world.ask('GET', `${pathOf(other)}/secrets`, { token: mine })).status, 404)
})

t.test('a token rotates itself if it may, and only with its current secret', async (t) => {
  const self = (token: string, headers = {}) =>
    world.ask('POST', '/v1/self/rotate', { token, body: {}, headers })
  const plain = await world.issue()
  t.match(await self(plain.secret), { status: 403, body: { code: 'insufficient_scope' } })
  const type = { name: 'self-rotating', prefix: 'srt', self_rotation: true }
  t.equal((await world.ask('POST', '/v1/token-types', { body: type })).body.self_rotation, true)
  const owned = { owner: { subject: 'u-1' }, scopes: ['tokens:own'], type: 'management' }
  for (const token of [await world.issue({ type: type.name }), await world.issue(owned)]) {
    const headers = { 'idempotency-key': randomUUID() }
    const answer = await self(token.secret, headers)
    t.equal(answer.status, 200)
    t.equal(answer.body.id, token.id)
    t.ok(await active(answer.body.secret))
    t.ok(await active(token.secret))
    t.match(await self(token.secret), { status: 409, body: { code: 'superseded_secret' } })
    t.equal((await self(token.secret, headers)).body.secret, answer.body.secret, 'a retry is answered')
    const direct = await rotate(token, {}, { token: token.secret })
    if (token.type === 'management') t.equal(direct.body.code, 'superseded_secret')
    await world.usage.flush()
    await world.ask('POST', `${pathOf(token)}/rotate/finish`)
    t.equal((await self(answer.body.secret)).status, 200)
  }
})

t.test('of two rotations at the same time with the same secret, one succeeds', async (t) => {
  const scopes = ['tokens:write']
  for (let round = 0; round < 5; round++) {
    const { secret } = await world.issue({ type: 'management', scopes })
    const self = () => world.ask('POST', '/v1/self/rotate', { token: secret, body: {} })
    const answers = await Promise.all([self(), self(), self()])
    t.same(answers.map(({ status }) => status).sort(), [200, 409, 409])
    const won = answers.find(({ status }) => status === 200)
    t.ok(await active(won?.body.secret))
  }
})

t.test('an instance of an earlier version does not accept a secret that has ended', async (t) => {
  // It accepts whatever is in this table.
  const known = async ({ id }: { id: string }) =>
    (await world.sql('select hint from token_secrets where token_id = $1', [id])).rows.map(({ hint }) => hint)
  const token = await world.issue()
  const leaked = await rotated(token, { overlap_seconds: 0 })
  t.same(await known(token), [leaked.hint])
  const { hint } = await rotated(token, { overlap_seconds: 60 })
  clock.advance(60_000)
  await world.rotations.flush()
  t.same(await known(token), [hint])
})

t.test('a pending management secret authenticates its first request', async (t) => {
  const token = await world.issue({ type: 'management', scopes: ['tokens:read'] })
  const { secret } = await rotated(token, { activation: 'first_use', overlap_seconds: 0 })
  t.equal((await world.ask('GET', '/v1/self', { token: secret })).status, 200)
  t.equal((await world.ask('GET', '/v1/self', { token: token.secret })).status, 401)
})

t.test('RFC 7009 revocation with either good secret revokes the token', async (t) => {
  for (const which of [0, 1]) {
    const token = await world.issue()
    const { secret } = await rotated(token)
    const both = [token.secret, secret]
    await world.ask('POST', '/revoke', { form: { token: both[which] as string } })
    for (const one of both) t.notOk(await active(one))
  }
})

t.test('each JWT of a token has its own jti, which the status list and the feed follow', async (t) => {
  const type = { name: 'rotated-jwt', format: 'jwt', status_list: true }
  await world.ask('POST', '/v1/token-types', { body: type })
  const token = await world.issue({ type: type.name, lifetime_days: 10 })
  const { cursor } = (await world.ask('GET', '/v1/revocations')).body
  clock.advance(hour)
  const { secret } = await rotated(token, { overlap_seconds: 3600 })
  const [before, after] = [decodeJwt(token.secret), decodeJwt(secret)]
  t.equal(before.jti, token.id)
  t.not(after.jti, token.id)
  t.equal(after.client_id, token.id)
  t.equal(after.iat, Math.floor(clock.now.getTime() / 1000))
  const answers = [await world.introspect(token.secret), await world.introspect(secret)]
  t.match(answers, [
    { active: true, jti: before.jti, iat: before.iat },
    { active: true, jti: after.jti, iat: after.iat },
  ])
  const listed = async ({ status }: any) => {
    const { idx, uri } = status.status_list
    clock.advance(10_000)
    const { text } = await world.ask('GET', new URL(uri).pathname, { token: '' })
    const { lst } = decodeJwt(text).status_list as any
    return ((inflateSync(Buffer.from(lst, 'base64url'))[idx >> 3] ?? 0) >> (idx & 7)) & 1
  }
  t.same([await listed(before), await listed(after)], [0, 0])
  clock.advance(hour)
  await world.rotations.flush()
  t.same([await listed(before), await listed(after)], [1, 0])
  const { items } = (await world.ask('GET', `/v1/revocations?since=${cursor}`)).body
  t.match(items.at(-1), { reason: 'secret_ended', token_id: token.id })
})

t.test('tokens due for rotation are shown', async (t) => {
  const policy = '/v1/organizations/default/policy'
  await world.ask('PUT', policy, { body: { rotation: { every_days: 30 } } })
  t.teardown(() => world.ask('PUT', policy, { body: {} }))
  const token = await world.issue()
  const due = () => new Date(clock.now.getTime() + 30 * day).toISOString()
  t.equal(token.rotation_due_at, due())
  clock.advance(10 * day)
  t.equal((await rotated(token)).rotation_due_at, due())
  t.equal((await world.ask('GET', pathOf(token))).body.rotation_due_at, due())
  const list = async (query: string) =>
    (await world.ask('GET', `/v1/organizations/default/tokens?limit=200&${query}`)).body.items
  const find = async (query: string) => (await list(query)).find(({ id }: any) => id === token.id)
  t.equal((await find('')).rotation_due_at, due())
  clock.advance(30 * day - 1)
  t.notOk(await find('rotation_due=true'))
  t.ok(await find('rotation_due=false'))
  clock.advance(1)
  t.ok(await find('rotation_due=true'))
  t.notOk(await find('rotation_due=false'))
  await world.ask('POST', `${pathOf(token)}/revoke`)
  t.notOk(await find('rotation_due=true'))
  await world.ask('PUT', policy, { body: {} })
  t.same(await list('rotation_due=true'), [])
  t.ok(await find('rotation_due=false'))
})

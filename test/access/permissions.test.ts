import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue, manager } = world
const tokens = '/v1/organizations/default/tokens'
await ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })

t.test('RFC 6750 §3: without a credential there is a challenge and no error code', async (t) => {
  const answer = await ask('GET', tokens, { token: '' })
  t.match(answer, { status: 401, headers: { 'www-authenticate': 'Bearer realm="counterfoil"' } })
})

t.test('RFC 6750 §3.1: a bad credential is challenged with invalid_token', async (t) => {
  const { secret } = await issue({ type: 'management', scopes: ['tokens:read'] })
  await ask('POST', '/v1/self/revoke', { token: secret })
  for (const token of [secret, 'garbage', `cfm_${'a'.repeat(36)}`, `${secret}x`]) {
    const answer = await ask('GET', tokens, { token })
    t.equal(answer.status, 401)
    t.match(answer.headers['www-authenticate'], /^Bearer realm="counterfoil", error="invalid_token"/)
  }
})

t.test('RFC 6750 §3.1: a missing permission is named in the challenge', async (t) => {
  const reader = await manager(['tokens:read'])
  const answer = await ask('POST', tokens, { token: reader, body: { name: 'Refused', type: 'api' } })
  t.match(answer, { status: 403, body: { code: 'insufficient_scope' } })
  t.match(answer.headers['www-authenticate'], /error="insufficient_scope".*scope="tokens:write"/)
})

t.test('a good token of another type is told which type is needed', async (t) => {
  const { secret } = await issue({ scopes: ['tokens:read', 'tokens:introspect'] })
  const detail = /a token of the type management .* the presented one is of the type api\.$/
  t.match(await ask('GET', tokens, { token: secret }), { status: 403, body: { detail } })
  const answer = await ask('POST', '/introspect', { token: secret, form: { token: secret } })
  t.match(answer, { status: 401, body: { error: 'insufficient_scope', error_description: detail } })
})

t.test('RFC 6750 §2.1: the scheme is case-insensitive, and other schemes are rejected', async (t) => {
  const reader = await manager(['tokens:read'])
  const status = async (authorization: string) => {
    return (await ask('GET', tokens, { token: '', headers: { authorization } })).status
  }
  t.equal(await status(`bearer ${reader}`), 200)
  t.equal(await status(`BEARER   ${reader}`), 200)
  t.equal(await status(reader), 401)
  t.equal(await status(`Token ${reader}`), 401)
  t.equal(await status(`Basic ${Buffer.from(`:${reader}`).toString('base64')}`), 401)
  t.equal(await status(`Bearer ${reader}, Bearer ${reader}`), 401)
})

t.test('permissions count on management tokens only', async (t) => {
  const { secret } = await issue({ type: 'api', scopes: ['tokens:read', 'platform:admin'] })
  t.equal((await ask('GET', tokens, { token: secret })).status, 403)
})

t.test('callers cannot grant permissions that they do not hold', async (t) => {
  const writer = await manager(['tokens:write', 'tokens:read'])
  const grant = (scopes: string[]) =>
    ask('POST', tokens, { token: writer, body: { name: 'Granted', type: 'management', scopes } })
  t.equal((await grant(['tokens:read'])).status, 201)
  for (const scope of ['tokens:introspect', 'policy:write', 'audit:read', 'platform:admin']) {
    t.match(await grant(['tokens:read', scope]), { status: 403, body: { code: 'insufficient_scope' } }, scope)
  }
})

t.test('a management token needs at least one permission, all of them known', async (t) => {
  for (const scopes of [[], undefined, ['tokens:everything']]) {
    const answer = await ask('POST', tokens, { body: { name: 'Odd', type: 'management', scopes } })
    t.match(answer, { status: 422, body: { errors: [{ field: 'scopes' }] } }, String(scopes))
  }
})

t.test('platform:admin is for tokens of the platform organization only', async (t) => {
  const body = { name: 'Second administrator', type: 'management', scopes: ['platform:admin'] }
  t.equal((await ask('POST', tokens, { body })).status, 422)
  const { secret } = await issue(body, 'platform')
  t.equal((await ask('GET', '/v1/organizations', { token: secret })).status, 200)
})

t.test('another organization looks nonexistent to an organization’s administrator', async (t) => {
  const administrator = await manager([
    'tokens:read',
    'tokens:write',
    'tokens:introspect',
    'audit:read',
    'policy:read',
  ])
  const { id, secret } = await issue({ name: 'Theirs' }, 'other')
  const missing = await ask('GET', '/v1/organizations/nonesuch/tokens', { token: administrator })
  t.equal(missing.status, 404)
  for (const [method, url] of [
    ['GET', '/v1/organizations/other'],
    ['GET', '/v1/organizations/other/tokens'],
    ['GET', `/v1/organizations/other/tokens/${id}`],
    ['PATCH', `/v1/organizations/other/tokens/${id}`],
    ['POST', `/v1/organizations/other/tokens/${id}/revoke`],
    ['DELETE', `/v1/organizations/other/tokens/${id}`],
    ['GET', '/v1/organizations/other/audit-events'],
    ['GET', `/v1/organizations/default/tokens/${id}`],
  ] as const) {
    const answer = await ask(method, url, {
      token: administrator,
      ...(method === 'PATCH' && { body: { name: 'Mine' } }),
    })
    t.equal(answer.status, 404, `${method} ${url}`)
  }
  const { request_id: _, ...unlikeNothing } = missing.body
  const { request_id: __, ...unlikeOther } = (
    await ask('GET', '/v1/organizations/other/tokens', { token: administrator })
  ).body
  t.same(unlikeOther, unlikeNothing, 'the two cannot be told apart')
  t.same(await world.introspect(secret, administrator), { active: false })
  await ask('POST', '/revoke', { token: administrator, form: { token: secret } })
  t.match(await world.introspect(secret), { active: true })
})

t.test(
  'a token of the platform organization acts on every organization, within its permissions',
  async (t) => {
    const gateway = await manager(['tokens:introspect'], 'platform')
    const { secret } = await issue({}, 'other')
    t.match(await world.introspect(secret, gateway), { active: true, organization: 'other' })
    t.equal((await ask('GET', '/v1/organizations/other/tokens', { token: gateway })).status, 403)
  },
)

t.test('with tokens:own, owners see, create and revoke only their own tokens', async (t) => {
  const owner = { subject: 'u-7', email: 'u7@example.org', identity_source: 'internal' }
  const own = await manager(['tokens:own'], 'default', { owner })
  const mine = await ask('POST', tokens, { token: own, body: { name: 'Mine', type: 'api' } })
  t.match(mine, { status: 201, body: { owner } })
  const theirs = await issue({ name: 'Theirs', owner: { subject: 'u-8' } })
  const services = await issue({ name: 'A service’s' })

  const list = await ask('GET', tokens, { token: own })
  t.ok(list.body.items.length > 0 && list.body.items.every((item: any) => item.owner.subject === 'u-7'))
  t.same((await ask('GET', `${tokens}?owner=u-8`, { token: own })).body.items, [])
  for (const { id } of [theirs, services]) {
    t.equal((await ask('GET', `${tokens}/${id}`, { token: own })).status, 404)
    t.equal((await ask('POST', `${tokens}/${id}/revoke`, { token: own })).status, 404)
    t.equal((await ask('DELETE', `${tokens}/${id}`, { token: own })).status, 404)
  }
  await ask('POST', '/revoke', { token: own, form: { token: theirs.secret } })
  t.match(await world.introspect(theirs.secret), { active: true })
  const body = { name: 'For another', type: 'api', owner: { subject: 'u-8' } }
  t.equal((await ask('POST', tokens, { token: own, body })).status, 403)
  await ask('POST', '/revoke', { token: own, form: { token: mine.body.secret } })
  t.same(await world.introspect(mine.body.secret), { active: false })
})

t.test('tokens:own requires an owner', async (t) => {
  const body = { name: 'Service’s', type: 'management', scopes: ['tokens:own'] }
  t.match(await ask('POST', tokens, { body }), { status: 422, body: { errors: [{ field: 'owner' }] } })
})

import t from 'tap'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
let organizations = 0

async function organization(policy: object = {}) {
  const key = `org-${++organizations}`
  await world.ask('POST', '/v1/organizations', { body: { key, name: key } })
  await world.ask('PUT', `/v1/organizations/${key}/policy`, { body: policy })
  return { key, base: `/v1/organizations/${key}`, url: `/v1/organizations/${key}/tokens` }
}

const sso = { subject: 'u-sso', identity_source: 'sso' }
const internal = { subject: 'u-int', identity_source: 'internal' }
const noSso = { creation: { sso_users: false } }

t.test('if single sign-on users cannot have new tokens, a create is a 403 with its own code', async (t) => {
  const { key, url } = await organization()
  const old = await world.issue({ owner: sso }, key)
  await world.ask('PUT', `/v1/organizations/${key}/policy`, { body: noSso })
  const create = (owner: object) => world.ask('POST', url, { body: { name: 'New', type: 'api', owner } })
  const refused = await create(sso)
  t.match(refused, { status: 403, body: { code: 'creation_disabled', type: '/problems/creation_disabled' } })
  t.notOk(refused.headers['www-authenticate'], 'no other credential would help (RFC 6750 §3.1)')
  for (const identity_source of ['internal', 'ldap'])
    t.equal((await create({ subject: 'u-2', identity_source })).status, 201)
  const list = await world.ask('GET', `${url}?owner=u-sso&owner_identity_source=sso`)
  t.equal(list.body.items[0].id, old.id, 'what they have stays readable')
  t.match(list.body.creation, { allowed: false, code: 'creation_disabled', reason: refused.body.detail })
})

t.test('the list says whether a create would succeed for the owner it is filtered by', async (t) => {
  const { key, url, base } = await organization({ ...noSso, limits: { active_per_owner: 1 } })
  const creation = async (query: string, token?: string) =>
    (await world.ask('GET', `${url}${query}`, { ...(token && { token }) })).body.creation
  t.same(await creation(''), { allowed: true, code: null, reason: null })
  t.equal((await creation('?owner=u-sso&owner_identity_source=sso')).code, 'creation_disabled')
  t.equal((await creation('?owner_identity_source=sso')).code, 'creation_disabled')
  t.match(await creation('?owner=u-sso'), {
    code: 'invalid_value',
    reason: /owner.identity_source is required/,
  })
  await world.ask('PUT', `${base}/policy`, { body: {} })
  await world.issue({ owner: sso }, key)
  await world.issue({ owner: internal }, key)
  await world.ask('PUT', `${base}/policy`, { body: { ...noSso, limits: { active_per_owner: 1 } } })
  t.equal((await creation('?owner=u-sso')).code, 'creation_disabled')
  t.equal(
    (await creation('?owner=u-sso&owner_identity_source=ldap')).code,
    'creation_disabled',
    'known is known',
  )
  t.equal((await creation('?owner=u-int')).code, 'limit_reached')
  const reader = await world.manager(['tokens:read'], key)
  t.equal((await creation('', reader)).code, 'insufficient_scope')
  t.equal((await creation('?owner=u-int', reader)).code, 'insufficient_scope')
  await world.ask('POST', `${base}/suspend`)
  t.equal((await creation('')).code, 'suspended')
})

t.test('with tokens:own the list says it for the caller', async (t) => {
  const { key, url, base } = await organization()
  const own = await world.manager(['tokens:own'], key, { owner: sso })
  const creation = async (query = '') =>
    (await world.ask('GET', `${url}${query}`, { token: own })).body.creation
  t.equal((await creation()).allowed, true)
  t.equal((await creation('?owner=u-int')).code, 'insufficient_scope')
  await world.ask('PUT', `${base}/policy`, { body: noSso })
  t.equal((await creation()).code, 'creation_disabled')
  const create = await world.ask('POST', url, { token: own, body: { name: 'New', type: 'api' } })
  t.match(create, { status: 403, body: { code: 'creation_disabled' } })
})

t.test('everything an owner has is revoked in one call, exactly counted, each in the log', async (t) => {
  const { key, base, url } = await organization()
  const mine = [1, 2, 3].map((i) => ({ name: `Mine ${i}`, owner: sso, lifetime_days: i }))
  const tokens = await Promise.all(mine.map((token) => world.issue(token, key)))
  const early = await world.issue({ name: 'Early', owner: sso, not_before: '2027-01-01T00:00:00Z' }, key)
  const gone = await world.issue({ name: 'Gone', owner: sso }, key)
  await world.ask('POST', `${url}/${gone.id}/revoke`, { body: { reason: 'Before' } })
  const others = [
    await world.issue({ owner: internal }, key),
    await world.issue({}, key),
    await world.issue({ owner: sso }),
  ]
  world.clock.advance(day)
  const answer = await world.ask('POST', `${base}/owners/u-sso/revoke-tokens`, { body: { reason: 'Left' } })
  t.match(
    answer,
    { status: 200, body: { revoked: 3 } },
    'the one that expired and the one revoked are not counted',
  )
  for (const { secret } of [...tokens, early]) t.same(await world.introspect(secret), { active: false })
  for (const { secret } of others) t.equal((await world.introspect(secret)).active, true)
  const { body: log } = await world.ask('GET', `${base}/audit-events?action=token.revoked`)
  t.same(
    log.items
      .slice(0, 3)
      .map((event: any) => event.target.name)
      .sort(),
    ['Early', 'Mine 2', 'Mine 3'],
  )
  t.match(log.items[0], { changes: { after: { reason: 'Left' } } })
  t.equal(log.items.length, 4)
  const shown = await world.ask('GET', `${url}/${early.id}`)
  t.match(shown, { headers: { etag: '"2"' }, body: { status: 'revoked', revoked_reason: 'Left' } })
  t.equal((await world.ask('GET', `${url}/${gone.id}`)).body.revoked_reason, 'Before')
  t.same((await world.ask('POST', `${base}/owners/u-sso/revoke-tokens`)).body, { revoked: 0 })
})

t.test('a subject may be any text, such as a URL', async (t) => {
  const { key, base } = await organization()
  for (const subject of ['https://idp.example/users/1?a=b#c', 'auth0|ünï %2F', 'ü'.repeat(150)]) {
    await world.issue({ owner: { subject } }, key)
    const answer = await world.ask('POST', `${base}/owners/${encodeURIComponent(subject)}/revoke-tokens`)
    t.match(answer, { status: 200, body: { revoked: 1 } }, subject)
  }
})

t.test('tokens that are just being created for an owner do not slip through', async (t) => {
  const { key, base, url } = await organization()
  const answers = await Promise.all([
    ...Array.from({ length: 8 }, () => world.issue({ owner: sso }, key)),
    world.ask('POST', `${base}/owners/u-sso/revoke-tokens`),
  ])
  const { revoked } = answers.at(-1).body
  const { body } = await world.ask('GET', `${url}?status=revoked&limit=200`)
  t.equal(body.items.length, revoked, 'the count is what was revoked')
  t.same((await world.ask('POST', `${base}/owners/u-sso/revoke-tokens`)).body, { revoked: 8 - revoked })
})

t.test('with tokens:own, owners can revoke only their own tokens', async (t) => {
  const { key, base } = await organization()
  const own = await world.manager(['tokens:own'], key, { owner: internal })
  const reader = await world.manager(['tokens:read'], key)
  const stranger = await world.manager(['tokens:write'])
  const revoke = (subject: string, token: string) =>
    world.ask('POST', `${base}/owners/${subject}/revoke-tokens`, { token })
  t.match(await revoke('u-sso', own), { status: 403, body: { code: 'insufficient_scope' } })
  t.equal((await revoke('u-int', reader)).status, 403)
  t.equal((await revoke('u-int', stranger)).status, 404)
  t.same((await revoke('u-int', own)).body, { revoked: 1 }, 'its own credential is one of them')
  t.equal((await revoke('u-int', own)).status, 401)
})

// Follows the reference "personal access tokens" from top to bottom.
import t from 'tap'
import { startProduct } from '../support/product.ts'

const product = await startProduct(t, 'personal-access')
const { create, list, introspect, verify, http, tokens, clock, inDays, organization } = product
const hour = 60 * 60 * 1000
const day = 24 * hour
const policyUrl = `${organization}/policy`
const user = (subject: string, identity_source: string) => ({ subject, identity_source })
const ada = user('ada', 'internal')
const sally = user('sally', 'sso')
const type = 'personal-access'
const page = (who: ReturnType<typeof user>) =>
  http('GET', `${tokens}?owner=${who.subject}&owner_identity_source=${who.identity_source}`)
const policy = (body: object) => http('PATCH', policyUrl, { token: product.admin, body })

t.test(
  'internal and LDAP users have tokens; for SSO users an administrator can switch that off',
  async (t) => {
    for (const source of ['internal', 'ldap'])
      t.equal((await create({ name: 'PAT', type, owner: user(source, source) })).status, 201)
    t.match(await create({ name: 'PAT', type, owner: sally }), {
      status: 403,
      body: { code: 'creation_disabled' },
    })
    t.equal((await policy({ creation: { sso_users: true } })).status, 200)
    t.equal((await create({ name: 'While allowed', type, owner: sally })).status, 201)
    const off = await policy({ creation: { sso_users: false } })
    t.match(off.body.breaking_tokens, {
      count: 1,
      items: [{ name: 'While allowed', rules: ['creation.sso_users'] }],
    })
  },
)

t.test('the expiration periods are 7, 30, 45, 60 days, 1 year and none', async (t) => {
  const { lifetime } = (await http('GET', `${tokens}/options?owner=ada`)).body
  t.same(
    lifetime.presets,
    [7, 30, 45, 60, 365].map((days) => ({ days, expires_at: inDays(days) })),
  )
  t.equal(lifetime.allow_no_expiry, true)
  for (const days of [7, 30, 45, 60, 365]) {
    const { body } = await create({ name: `${days} days`, type, owner: ada, lifetime_days: days })
    t.match(body, { expires_at: inDays(days), expiry: { state: 'ok', days_left: days } })
  }
  const { body } = await create({ name: 'No expiration', type, owner: ada, expires_at: null })
  t.match(body, { expires_at: null, expiry: { state: 'never', seconds_left: null, days_left: null } })
})

t.test('a token needs a name, works in place of a password at once, and is shown once', async (t) => {
  t.equal((await create({ type, owner: ada, lifetime_days: 7 })).status, 422)
  const { body } = await create({ name: 'CLI', type, owner: ada, lifetime_days: 7 })
  t.match(await introspect(body.secret), { active: true, sub: 'ada' })
  t.notOk((await page(ada)).text.includes(body.secret))
})

t.test(
  'a token stands in for the password, without a user name, or comes in x-deploy-personal-token',
  async (t) => {
    const { body } = await create({ name: 'curl', type, owner: ada, lifetime_days: 7 })
    const basic = (password: string) => ({ authorization: `Basic ${btoa(`:${password}`)}` })
    const field = (token: string) => ({ 'x-deploy-personal-token': token })
    const query = `?type=${type}&organization=acme`
    for (const presented of [basic, field]) {
      const answer = await verify(presented(body.secret), query)
      t.equal(answer.status, 200)
      t.equal(answer.headers.get('x-token-subject'), 'ada')
      t.equal((await verify(presented('pat_unknown'), query)).status, 401)
    }
    t.equal((await verify({ ...basic(body.secret), ...field(body.secret) }, query)).status, 401)
    await http('DELETE', `${tokens}/${body.id}`)
    for (const presented of [basic, field]) t.equal((await verify(presented(body.secret), query)).status, 401)
  },
)

t.test('a user sees and manages their own tokens with a credential of their own', async (t) => {
  const manager = { name: 'Session', type: 'management', scopes: ['tokens:own'], owner: ada }
  const limited = await policy({ allowed_types: [type, 'management'] })
  t.equal(limited.status, 200)
  const { body } = await http('POST', tokens, { token: product.admin, body: manager })
  await policy({ allowed_types: [type] })
  const own = await list('?limit=200', body.secret)
  t.ok(own.length > 5 && own.every(({ owner }) => owner.subject === 'ada'))
  const made = await create({ name: 'Mine', type, lifetime_days: 7 }, body.secret)
  t.match(made, { status: 201, body: { owner: { subject: 'ada' } } })
  t.equal((await http('DELETE', `${tokens}/${made.body.id}`, { token: body.secret })).status, 204)
})

t.test('the exact time that is left is the same in every time zone', async (t) => {
  const { body } = await create({ name: 'Zoned', type, owner: ada, expires_at: '2026-03-11T01:00:00+13:00' })
  t.match(body, { expires_at: '2026-03-10T12:00:00.000Z', expiry: { seconds_left: 9 * 24 * 60 * 60 } })
})

t.test('a token that is deleted is gone, and no longer opens anything', async (t) => {
  const { body } = await create({ name: 'Unneeded', type, owner: ada })
  t.equal((await http('DELETE', `${tokens}/${body.id}`)).status, 204)
  t.same(await introspect(body.secret), { active: false })
})

t.test(
  'a user known to come from single sign-on cannot be created for by leaving the source out',
  async (t) => {
    const refused = await create({ name: 'By omission', type, owner: { subject: 'sally' } })
    t.match(refused, { status: 403, body: { code: 'creation_disabled' } })
    const unknown = await create({ name: 'By omission', type, owner: { subject: 'stranger' } })
    t.match(unknown, { status: 422, body: { errors: [{ field: 'owner.identity_source' }] } })
  },
)

t.test('an SSO user without tokens finds an empty list that says why there is no new one', async (t) => {
  const { body } = await page(user('new', 'sso'))
  t.same(body.items, [])
  t.match(body.creation, { allowed: false, code: 'creation_disabled', reason: /single sign-on/ })
})

t.test('an SSO user with tokens still sees them, with the banner and without the button', async (t) => {
  const { body } = await page(sally)
  t.match(body.items, [{ name: 'While allowed', status: 'active' }])
  t.match(body.creation, { allowed: false, code: 'creation_disabled' })
  const options = (await http('GET', `${tokens}/options?owner=sally`)).body
  t.equal(options.creation.allowed, false, 'also where the form does not say whence the user comes')
  t.equal((await page(ada)).body.creation.allowed, true)
})

t.test('a user who is gone from single sign-on leaves no orphaned token behind', async (t) => {
  await policy({ creation: { sso_users: true } })
  const secrets: string[] = []
  for (let i = 0; i < 4; i++) secrets.push((await create({ name: `S${i}`, type, owner: sally })).body.secret)
  await policy({ creation: { sso_users: false } })
  for (const secret of secrets)
    t.equal((await introspect(secret)).active, true, 'this is the hole of the reference')
  const ended = await http('POST', `${organization}/owners/sally/revoke-tokens`, {
    body: { reason: 'Disabled at the identity provider' },
  })
  t.match(ended, { status: 200, body: { revoked: 5 } })
  for (const secret of secrets) t.same(await introspect(secret), { active: false })
  const log = await http('GET', `${organization}/audit-events?action=token.revoked`, { token: product.admin })
  t.equal(log.body.items.length, 5)
})

t.test('an administrator limits the lifetime to 7, 30, 45, 60 days or a year', async (t) => {
  const presets = [7, 30, 45, 60, 365]
  for (const maximum_days of presets) {
    const change = { lifetime: { maximum_days } }
    const dry = await http('PATCH', `${policyUrl}?dry_run=true`, { token: product.admin, body: change })
    const breaks = dry.body.breaking_tokens.items.some(({ name }: any) => name === 'No expiration')
    t.equal(breaks, maximum_days === presets[0], 'only a tightened rule breaks tokens')
    t.equal((await policy(change)).status, 200)
    const { lifetime } = (await http('GET', `${tokens}/options?owner=ada`)).body
    t.equal(lifetime.latest_expires_at, inDays(maximum_days))
    t.same(
      lifetime.presets.map(({ days }: { days: number }) => days),
      presets.filter((days) => days <= maximum_days),
    )
    t.equal(lifetime.allow_no_expiry, false)
    t.equal((await create({ name: 'Fits', type, owner: ada, lifetime_days: maximum_days })).status, 201)
    const long = await create({ name: 'Long', type, owner: ada, lifetime_days: maximum_days + 1 })
    t.match(long, { status: 422, body: { errors: [{ field: 'lifetime_days' }] } })
    t.equal((await create({ name: 'For ever', type, owner: ada, expires_at: null })).status, 422)
  }
  t.ok(
    (await list('?limit=200')).some(({ expires_at }) => expires_at === null),
    'those that exist stay',
  )
  t.equal((await policy({ lifetime: { maximum_days: null } })).status, 200, 'by default there is no limit')
  t.equal((await create({ name: 'For ever', type, owner: ada, expires_at: null })).status, 201)
})

t.test('Expires in: never, days, a warning under 5 days, less than 24 hours, expired', async (t) => {
  const shown = async (id: string) => (await http('GET', `${tokens}/${id}`)).body.expiry
  const never = await create({ name: 'Never', type, owner: ada })
  t.match(await shown(never.body.id), { state: 'never' })
  const { body } = await create({ name: 'Counted', type, owner: ada, lifetime_days: 7 })
  const steps: [number, object][] = [
    [0, { state: 'ok', days_left: 7 }],
    [2 * day - 1000, { state: 'ok', days_left: 6 }],
    [1000 + 1, { state: 'warning', days_left: 5 }],
    [4 * day - 1000, { state: 'warning', days_left: 2 }],
    [1000, { state: 'imminent', days_left: 1 }],
    [23 * hour, { state: 'imminent', days_left: 1 }],
    [hour, { state: 'expired', seconds_left: 0 }],
  ]
  for (const [ms, expiry] of steps) {
    clock.advance(ms)
    t.match(await shown(body.id), expiry)
  }
  t.same(await introspect(body.secret), { active: false })
})

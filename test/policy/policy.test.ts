import fc from 'fast-check'
import t from 'tap'
import { platformPolicy } from '../../src/policy/effective.ts'
import { mergePatch } from '../../src/policy/merge-patch.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
let organizations = 0

/** Creates an organization for the test; returns its policy's URL. */
async function organization() {
  const key = `org-${++organizations}`
  const made = await world.ask('POST', '/v1/organizations', { body: { key, name: key } })
  if (made.status !== 201) throw new Error(made.text)
  return { key, id: made.body.id as string, url: `/v1/organizations/${key}/policy` }
}

t.test("an organization without its own rules has the platform's policy", async (t) => {
  const { url, key } = await organization()
  const { status, body, headers } = await world.ask('GET', url)
  t.equal(status, 200)
  t.same(body.policy, platformPolicy)
  t.same(body.own, {})
  t.equal(body.organization, key)
  t.same([...new Set(Object.values(body.sources))], ['platform'])
  t.equal(headers.etag, '"1"')
})

t.test("the organization's rules override the platform's, and each value has its origin", async (t) => {
  const { url } = await organization()
  const own = { lifetime: { maximum_days: 90, on_too_long: 'reduce' }, allowed_types: ['api'] }
  const put = await world.ask('PUT', url, { body: own })
  t.equal(put.status, 200, put.text)
  const { body } = await world.ask('GET', url)
  t.same(body.own, own)
  t.match(body.policy, { lifetime: own.lifetime, allowed_types: ['api'], name: platformPolicy.name })
  t.match(body.sources, {
    'lifetime.maximum_days': 'organization',
    'lifetime.on_too_long': 'organization',
    'lifetime.minimum_days': 'platform',
    'name.required': 'platform',
    allowed_types: 'organization',
  })
})

t.test('a maximum can be set alone: platform defaults yield to it', async (t) => {
  const { url } = await organization()
  const { body } = await world.ask('PATCH', url, { body: { lifetime: { maximum_days: 60 } } })
  t.same(body.policy.lifetime.presets_days, [7, 30, 60])
  t.equal(body.policy.lifetime.allow_no_expiry, false)
  t.match(body.sources, {
    'lifetime.presets_days': 'organization',
    'lifetime.allow_no_expiry': 'organization',
    'lifetime.minimum_days': 'platform',
  })
})

t.test('limits can be set and removed alone, whatever else the organization sets', async (t) => {
  const { url } = await organization()
  const own = { presets_days: [7, 182, 548], allow_no_expiry: true, default_days: 182 }
  await world.ask('PUT', url, { body: { lifetime: own } })
  const before = (await world.ask('GET', url)).body
  const cases: [object, object][] = [
    [{ maximum_days: 90 }, { presets_days: [7], allow_no_expiry: false, default_days: 90 }],
    [{ minimum_days: 365 }, { presets_days: [548], allow_no_expiry: true, default_days: 365 }],
    [
      { minimum_days: 30, maximum_days: 365 },
      { presets_days: [182], allow_no_expiry: false, default_days: 182 },
    ],
  ]
  for (const [limits, effective] of cases) {
    const set = await world.ask('PATCH', url, { body: { lifetime: limits } })
    t.match(set, { status: 200, body: { policy: { lifetime: { ...limits, ...effective } } } })
    t.same(set.body.own.lifetime, { ...own, ...limits }, 'the own policy is kept')
    const lifetime = Object.fromEntries(Object.keys(limits).map((name) => [name, null]))
    const back = await world.ask('PATCH', url, { body: { lifetime } })
    t.equal(back.status, 200)
    t.same([back.body.policy, back.body.sources], [before.policy, before.sources])
  }
})

t.test('sources name the organization for exactly the values that it changes', async (t) => {
  const { url } = await organization()
  await world.ask('PUT', url, { body: { lifetime: { maximum_days: 365 } } })
  const { body } = await world.ask('GET', url)
  t.same(body.policy.lifetime.presets_days, platformPolicy.lifetime.presets_days)
  const own = Object.keys(body.sources).filter((name) => body.sources[name] === 'organization')
  t.same(own, ['lifetime.maximum_days', 'lifetime.allow_no_expiry'])
})

t.test('a patch with values beyond its own limits is rejected', async (t) => {
  const { url } = await organization()
  await world.ask('PUT', url, { body: { lifetime: { minimum_days: 7, maximum_days: 90 } } })
  const cases: [object, string][] = [
    [{ presets_days: [365] }, 'lifetime.presets_days'],
    [{ default_days: 365 }, 'lifetime.default_days'],
    [{ allow_no_expiry: true }, 'lifetime.allow_no_expiry'],
    [{ minimum_days: 91 }, 'lifetime.minimum_days'],
    [{ maximum_days: 6 }, 'lifetime.maximum_days'],
  ]
  for (const [lifetime, field] of cases) {
    const answer = await world.ask('PATCH', url, { body: { lifetime } })
    t.match(answer, { status: 422, body: { errors: [{ in: 'body', field }] } }, field)
  }
})

t.test("PATCH merges (RFC 7396), in both media types; null resets a value to the platform's", async (t) => {
  const { url } = await organization()
  await world.ask('PUT', url, { body: { name: { minimum_length: 8, unique: true } } })
  const patch = { name: { minimum_length: null }, limits: { active_per_owner: 25 } }
  const headers = { 'content-type': 'application/merge-patch+json' }
  const patched = await world.ask('PATCH', url, { headers, body: patch })
  t.equal(patched.status, 200, patched.text)
  t.same(patched.body.own, { name: { unique: true }, limits: { active_per_owner: 25 } })
  t.match(patched.body.policy.name, { minimum_length: 1, unique: true })
  t.same((await world.ask('PATCH', url, { body: { name: null } })).body.own, {
    limits: { active_per_owner: 25 },
  })
  t.equal((await world.ask('PUT', url, { headers, body: {} })).status, 415, 'but a PUT is no patch')
})

t.test('RFC 7396 appendix A: the examples', async (t) => {
  const examples: [object, object, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ]
  for (const [target, patch, result] of examples) t.same(mergePatch(target, patch), result)
})

t.test('a merge patch applied twice is a merge patch applied once (RFC 7396)', async (t) => {
  const document = () => fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }))
  fc.assert(
    fc.property(document(), document(), (target, patch) => {
      const once = mergePatch<object>(target, patch)
      t.same(mergePatch<object>(once, patch), once)
    }),
  )
})

t.test("another person's change is not overwritten (RFC 9110 §13.1.1)", async (t) => {
  const { url } = await organization()
  const first = await world.ask('PUT', url, {
    headers: { 'if-match': '"1"' },
    body: { name: { unique: true } },
  })
  t.equal(first.headers.etag, '"2"')
  const stale = await world.ask('PATCH', url, { headers: { 'if-match': '"1"' }, body: {} })
  t.match(stale, { status: 412, body: { code: 'precondition_failed' } })
  const same = await world.ask('PUT', url, { body: { name: { unique: true } } })
  t.equal(same.headers.etag, '"2"', 'what changes nothing is no new version')
})

t.test('contradictory rules are rejected by member, and nothing is changed', async (t) => {
  const { url } = await organization()
  const cases: [object, string][] = [
    [{ lifetime: { minimum_days: 30, maximum_days: 7 } }, 'lifetime.minimum_days'],
    [{ lifetime: { presets_days: [7, 400], maximum_days: 365 } }, 'lifetime.presets_days'],
    [{ lifetime: { presets_days: [7], minimum_days: 30 } }, 'lifetime.presets_days'],
    [{ lifetime: { default_days: 400, maximum_days: 365 } }, 'lifetime.default_days'],
    [{ lifetime: { allow_no_expiry: true, maximum_days: 365 } }, 'lifetime.allow_no_expiry'],
    [{ allowed_types: ['api', 'nonsense'] }, 'allowed_types'],
    [{ expiry_warning: { warning_days: 1, imminent_hours: 25 } }, 'expiry_warning.imminent_hours'],
  ]
  for (const [body, field] of cases) {
    for (const method of ['PUT', 'PATCH']) {
      const answer = await world.ask(method, url, { body })
      t.match(
        answer,
        { status: 422, body: { code: 'invalid_value', errors: [{ in: 'body', field }] } },
        field,
      )
    }
  }
  t.match(await world.ask('GET', url), { headers: { etag: '"1"' }, body: { own: {} } })
})

t.test('a malformed policy is a 400 that names the member', async (t) => {
  const { url } = await organization()
  const cases: [object, string][] = [
    [{ lifetime: { minimum_days: 0 } }, 'lifetime.minimum_days'],
    [{ lifetime: { maximum_days: '30' } }, 'lifetime.maximum_days'],
    [{ lifetime: { on_too_long: 'whatever' } }, 'lifetime.on_too_long'],
    [{ limits: { active_per_owner: -1 } }, 'limits.active_per_owner'],
    [{ nmae: {} }, 'nmae'],
    [{ name: { uniqe: true } }, 'name.uniqe'],
  ]
  for (const [body, field] of cases) {
    for (const method of ['PUT', 'PATCH']) {
      const answer = await world.ask(method, url, { body })
      t.match(answer, { status: 400, body: { errors: [{ in: 'body', field }] } }, `${method} ${field}`)
    }
  }
  for (const body of ['[]', '"text"', 'null', '{"__proto__": {}}'])
    t.equal((await world.ask('PATCH', url, { body })).status, 400, body)
})

t.test('allowed_types does not restrict management tokens', async (t) => {
  const { key, url } = await organization()
  const token = { type: 'management', scopes: ['tokens:read'] }
  await world.issue(token, key)
  const { body } = await world.ask('PUT', url, { body: { allowed_types: ['api'] } })
  t.same(body.breaking_tokens.items, [])
  await world.issue(token, key)
})

t.test('a policy change lists tokens that break it, without changing them', async (t) => {
  const { key, url } = await organization()
  const owner = { subject: 'u-1', identity_source: 'sso' }
  const tokens = {
    forever: await world.issue({ name: 'For ever', scopes: ['read'] }, key),
    long: await world.issue({ name: 'Long', lifetime_days: 400, scopes: ['read'], owner }, key),
    short: await world.issue({ name: 'Short', lifetime_days: 2, scopes: ['read'], owner }, key),
    bare: await world.issue({ name: 'Namesake', lifetime_days: 90, type: 'mcp' }, key),
    twin: await world.issue({ name: 'NAMESAKE', lifetime_days: 90, scopes: ['read'] }, key),
    good: await world.issue({ name: 'Just right', lifetime_days: 90, scopes: ['read'] }, key),
  }
  const gone = await world.issue({ name: 'Gone', scopes: ['read'] }, key)
  await world.ask('POST', `/v1/organizations/${key}/tokens/${gone.id}/revoke`)
  const own = {
    lifetime: { minimum_days: 7, maximum_days: 365 },
    name: { minimum_length: 5, unique: true },
    limits: { active_per_owner: 1, active_per_organization: 5 },
    scopes: { required: true },
    creation: { sso_users: false },
    allowed_types: ['api'],
  }
  const dry = await world.ask('PUT', `${url}?dry_run=true`, { body: own })
  t.match(dry, { status: 200, headers: { etag: '"1"' }, body: { applied: false } })
  const broken = Object.fromEntries(
    dry.body.breaking_tokens.items.map((item: any) => [item.name, item.rules.toSorted()]),
  )
  t.same(broken, {
    'For ever': ['lifetime.allow_no_expiry'],
    Long: ['creation.sso_users', 'lifetime.maximum_days', 'name.minimum_length'],
    Short: ['creation.sso_users', 'lifetime.minimum_days', 'limits.active_per_owner'],
    Namesake: ['allowed_types', 'name.unique', 'scopes.required'],
    NAMESAKE: ['name.unique'],
    'Just right': ['limits.active_per_organization'],
  })
  t.equal(dry.body.breaking_tokens.count, 6)
  t.match(await world.ask('GET', url), { body: { own: {} } }, 'a dry run changes nothing')

  const wet = await world.ask('PUT', url, { body: own })
  t.match(wet, { status: 200, headers: { etag: '"2"' }, body: { applied: true } })
  t.same(wet.body.breaking_tokens, dry.body.breaking_tokens)
  for (const token of Object.values(tokens)) {
    t.equal((await world.introspect(token.secret)).active, true, token.name)
    const { body } = await world.ask('GET', `/v1/organizations/${key}/tokens/${token.id}`)
    t.match(body, { expires_at: token.expires_at, updated_at: token.updated_at })
  }
})

t.test('the list of tokens that break a policy has at most 100, and says that there are more', async (t) => {
  const { key, url } = await organization()
  for (let i = 0; i < 103; i++) await world.issue({ name: `T${i}` }, key)
  const { body } = await world.ask('PATCH', `${url}?dry_run=true`, {
    body: { lifetime: { maximum_days: 1 } },
  })
  t.match(body.breaking_tokens, { count: 100, more: true })
  t.equal(body.breaking_tokens.items.length, 100)
})

t.test('a change lists only breaches of the rules that it changes', async (t) => {
  const { key, url } = await organization()
  await world.issue({ name: 'Long', lifetime_days: 400 }, key)
  const breaches = async (body: object) =>
    (await world.ask('PATCH', `${url}?dry_run=true`, { body })).body.breaking_tokens
  await world.ask('PUT', url, { body: { lifetime: { maximum_days: 365 } } })
  t.same(await breaches({ name: { minimum_length: 2 } }), { count: 0, more: false, items: [] })
  t.same(await breaches({ lifetime: { maximum_days: 500 } }), { count: 0, more: false, items: [] })
  t.match(await breaches({ lifetime: { maximum_days: 300 } }), {
    count: 1,
    more: false,
    items: [{ name: 'Long', rules: ['lifetime.maximum_days'] }],
  })
})

t.test('the change log has a policy before and after a change, but no dry runs', async (t) => {
  const { key, id, url } = await organization()
  await world.ask('PUT', url, { body: { name: { unique: true } } })
  await world.ask('PATCH', `${url}?dry_run=true`, { body: { name: { unique: false } } })
  await world.ask('PATCH', url, { body: { name: { minimum_length: 8 } } })
  await world.ask('PATCH', url, { body: { name: { minimum_length: 8 } } })
  const { body } = await world.ask('GET', `/v1/organizations/${key}/audit-events?action=policy.updated`)
  t.match(body.items, [
    {
      target: { type: 'policy', id, name: key },
      changes: { before: { name: { unique: true } }, after: { name: { unique: true, minimum_length: 8 } } },
    },
    { changes: { before: {}, after: { name: { unique: true } } } },
  ])
  t.equal(body.items.length, 2)
})

t.test('policy:read reads and policy:write writes, and neither does the other', async (t) => {
  const { key, url } = await organization()
  const reader = await world.manager(['policy:read'], key)
  const writer = await world.manager(['policy:write'], key)
  const stranger = await world.manager(['policy:read', 'policy:write'], 'default')
  t.equal((await world.ask('GET', url, { token: reader })).status, 200)
  t.match(await world.ask('GET', url, { token: writer }), {
    status: 403,
    body: { code: 'insufficient_scope' },
  })
  for (const method of ['PUT', 'PATCH']) {
    t.equal((await world.ask(method, url, { token: writer, body: {} })).status, 200)
    t.equal((await world.ask(method, url, { token: reader, body: {} })).status, 403)
    t.equal((await world.ask(method, `${url}?dry_run=true`, { token: reader, body: {} })).status, 403)
    t.equal((await world.ask(method, url, { token: stranger, body: {} })).status, 404)
  }
  t.equal((await world.ask('GET', url, { token: stranger })).status, 404)
})

t.test("tokens are shown with the policy's thresholds", async (t) => {
  const { key, url } = await organization()
  const token = await world.issue({ lifetime_days: 10 }, key)
  const expiry = async () =>
    (await world.ask('GET', `/v1/organizations/${key}/tokens/${token.id}`)).body.expiry.state
  t.equal(await expiry(), 'ok')
  await world.ask('PATCH', url, { body: { expiry_warning: { warning_days: 11 } } })
  t.equal(await expiry(), 'warning')
  await world.ask('PATCH', url, { body: { expiry_warning: { imminent_hours: 250 } } })
  t.equal(await expiry(), 'imminent')
  world.clock.advance(10 * day)
  t.equal(await expiry(), 'expired')
})

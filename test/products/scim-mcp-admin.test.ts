// Follows the reference "SCIM and MCP tokens for administrators" from top to bottom.
import t from 'tap'
import { type Reply, startProduct } from '../support/product.ts'

const product = await startProduct(t, 'scim-mcp-admin', 'abc123')
const { create, list, introspect, verify, http, tokens, clock, inDays } = product
const day = 24 * 60 * 60 * 1000
const endpoint = 'https://dpms.yourcompany.com/pp/mcp/v1/abc123/mcp'
const reader = await product.credential(['tokens:read'])
const unpermitted = await product.credential(['policy:read'])

t.test('the screen is readable with the read permission; without it there is a clear 403', async (t) => {
  t.equal((await http('GET', tokens, { token: reader })).status, 200)
  const denied = await http('GET', tokens, { token: unpermitted })
  t.match(denied, { status: 403, body: { code: 'insufficient_scope' } })
  t.match(denied.headers.get('www-authenticate'), /scope="tokens:read"/)
})

t.test('the Create button is for those with the edit permission', async (t) => {
  const { body } = await http('GET', `${tokens}/options`, { token: reader })
  t.match(body.creation, { allowed: false, code: 'insufficient_scope' })
  t.equal((await create({ name: 'X', type: 'scim', lifetime_days: 182 }, reader)).status, 403)
  t.equal((await http('GET', `${tokens}/options`)).body.creation.allowed, true)
})

t.test('the form offers two types, and the address that an AI client connects to', async (t) => {
  const { types } = (await http('GET', `${tokens}/options`)).body
  t.same(
    types.map(({ name, endpoint }: any) => ({ name, endpoint })),
    [
      { name: 'mcp', endpoint },
      { name: 'scim', endpoint: null },
    ],
  )
})

t.test('the validity is 182, 365, 548 or 731 days, and each shows its expiration date', async (t) => {
  const { lifetime } = (await http('GET', `${tokens}/options`)).body
  t.same(
    lifetime.presets,
    [182, 365, 548, 731].map((days) => ({ days, expires_at: inDays(days) })),
  )
  t.match(lifetime, {
    minimum_days: 1,
    maximum_days: 3652,
    latest_expires_at: inDays(3652),
    allow_no_expiry: false,
  })
  for (const days of [182, 365, 548, 731]) {
    const { body } = await create({ name: `${days} days`, type: 'scim', lifetime_days: days })
    t.match(body, { expires_at: inDays(days), warnings: [] })
    t.match(body.expires_at, /Z$/, 'in UTC')
    await http('DELETE', `${tokens}/${body.id}`)
  }
})

t.test('a custom validity of more than 3,652 days is reduced, but here never silently', async (t) => {
  const most = await create({ name: 'Ten years', type: 'scim', lifetime_days: 3652 })
  t.match(most.body, { expires_at: inDays(3652), warnings: [] })
  const more = await create({ name: 'Too long', type: 'scim', lifetime_days: 5000 })
  t.match(more, { status: 201, body: { expires_at: inDays(3652) } })
  t.match(more.body.warnings, [
    { code: 'lifetime_reduced', requested: inDays(5000), granted: inDays(3652), message: /3652 days/ },
  ])
  for (const { body } of [most, more]) await http('DELETE', `${tokens}/${body.id}`)
})

t.test('zero, blank or no number of days creates nothing', async (t) => {
  for (const lifetime_days of [0, 'abc', -1, 1.5])
    t.equal((await create({ name: 'X', type: 'scim', lifetime_days })).status, 400, String(lifetime_days))
  for (const body of [{}, { lifetime_days: '' }, { lifetime_days: null }, { expires_at: null }])
    t.equal((await create({ name: 'X', type: 'scim', ...body })).status, 422, 'a validity is required')
  t.same(await list(), [])
  const forever = await create({ name: 'X', type: 'scim', never_expires: true })
  t.match(forever.body, {
    expires_at: inDays(3652),
    warnings: [{ code: 'lifetime_reduced', requested: null }],
  })
  await http('DELETE', `${tokens}/${forever.body.id}`)
})

t.test('name and type are required, and the type is SCIM or MCP', async (t) => {
  t.equal((await create({ type: 'scim', lifetime_days: 182 })).status, 422)
  t.equal((await create({ name: ' ', type: 'scim', lifetime_days: 182 })).status, 400)
  t.equal((await create({ name: 'X', lifetime_days: 182 })).status, 422)
  t.equal((await create({ name: 'X', type: 'api', lifetime_days: 182 })).status, 422)
})

t.test('a confirmation shows what would be created, and creates nothing', async (t) => {
  const asked = { name: 'Not yet', type: 'scim', lifetime_days: 5000 }
  t.match(await http('POST', `${tokens}?dry_run=true`, { body: asked }), {
    status: 200,
    body: { expires_at: inDays(3652), warnings: [{ code: 'lifetime_reduced' }] },
  })
  t.same(await list(), [])
})

t.test('the SCIM endpoint accepts SCIM tokens only', async (t) => {
  for (const [type, status] of [
    ['scim', 200],
    ['mcp', 401],
  ] as const) {
    const { body } = await create({ name: type, type, lifetime_days: 182 })
    const presented = { authorization: `Bearer ${body.secret}` }
    t.equal((await verify(presented, '?type=scim')).status, status, type)
    await http('DELETE', `${tokens}/${body.id}`)
  }
})

t.test('a name and a comment are as long as people write them', async (t) => {
  const texts = { name: 'n'.repeat(1000), comment: 'c'.repeat(60_000) }
  const { body } = await create({ ...texts, type: 'scim', lifetime_days: 182 })
  const { name, comment } = (await http('GET', `${tokens}/${body.id}`)).body
  t.same({ name, comment }, texts)
  await http('DELETE', `${tokens}/${body.id}`)
})

t.test('notifications are sent a number of days before a token expires', async (t) => {
  const notifications = { expiry_days: [30, 7], mail_to: ['iam@yourcompany.com'] }
  const saved = await http('PATCH', `${product.organization}/policy`, {
    token: product.admin,
    body: { notifications },
  })
  t.match(saved, { status: 200, body: { policy: { notifications } } })
})

const comment = 'Asked for by J. Doe in CHG-1042: HR onboarding'
let workday: Reply
let agent: Reply

t.test('the reveal screen has the whole token, works at once, and appears only once', async (t) => {
  const name = 'Workday SCIM Connector – HR Onboarding'
  workday = await create({ name, type: 'scim', lifetime_days: 365, comment })
  t.equal(workday.status, 201)
  t.equal(workday.headers.get('cache-control'), 'no-store')
  t.match(await introspect(workday.body.secret), { active: true, type: 'scim' })
  const { text } = await http('GET', `${tokens}/${workday.body.id}`)
  t.notOk(text.includes(workday.body.secret))
})

t.test('each row shows name, creation, expiration, type, masked token and last use', async (t) => {
  clock.advance(1000)
  agent = await create({ name: 'AI Agent – EU Cluster', type: 'mcp', lifetime_days: 182 })
  const rows = await list('?status=active')
  t.match(rows, [
    { name: 'AI Agent – EU Cluster', type: 'mcp', endpoint },
    {
      name: 'Workday SCIM Connector – HR Onboarding',
      type: 'scim',
      created_at: inDays(0).replace('12:00:01', '12:00:00'),
      hint: /^eyJ[\w-]…[\w-]{4}$/,
    },
  ])
  t.ok(rows.every((row) => 'last_used_at' in row))
})

t.test('a long list loads as one scrolls', async (t) => {
  const first = (await http('GET', `${tokens}?status=active&limit=1`)).body
  t.equal(first.items[0].id, agent.body.id)
  const second = (await http('GET', `${tokens}?status=active&limit=1&cursor=${first.next_cursor}`)).body
  t.equal(second.items[0].id, workday.body.id)
  t.equal(second.next_cursor, null)
})

t.test('the detail form changes name and comment; the type is locked', async (t) => {
  const item = `${tokens}/${workday.body.id}`
  t.equal((await http('GET', item)).body.comment, comment)
  const saved = await http('PATCH', item, {
    body: { name: 'Workday', comment: 'Now with the identity team' },
  })
  t.match(saved, {
    status: 200,
    body: { name: 'Workday', type: 'scim', expires_at: workday.body.expires_at },
  })
  t.match(await introspect(workday.body.secret), { token_name: 'Workday' }, 'immediately')
  t.equal((await http('PATCH', item, { body: { type: 'mcp' } })).status, 400)
  t.equal((await http('PATCH', item, { body: { name: 'X' }, token: reader })).status, 403)
})

t.test('the address of an MCP token can be read later too', async (t) => {
  t.equal((await http('GET', `${tokens}/${agent.body.id}`)).body.endpoint, endpoint)
  t.equal((await introspect(agent.body.secret)).endpoint, endpoint)
})

t.test('deleting an active token stops it immediately, without a grace period', async (t) => {
  t.equal((await http('DELETE', `${tokens}/${agent.body.id}`)).status, 204)
  t.same(await introspect(agent.body.secret), { active: false })
  t.equal((await http('GET', `${tokens}/${agent.body.id}`)).status, 404)
})

t.test(
  'expired tokens leave the Active tab for the Expired tab and stay until they are deleted',
  async (t) => {
    clock.advance(365 * day - 1000)
    t.same(await introspect(workday.body.secret), { active: false })
    t.same(await list('?status=active'), [])
    t.match(await list('?status=expired'), [{ name: 'Workday', expiry: { state: 'expired' } }])
    clock.advance(1000 * day)
    t.equal((await list('?status=expired')).length, 1, 'nothing cleans them up')
    t.equal((await http('DELETE', `${tokens}/${workday.body.id}`)).status, 204)
    t.same(await list('?status=expired'), [])
  },
)

t.test('an auditor finds every credential that there was, deleted ones too', async (t) => {
  const { body } = await http('GET', `${product.organization}/audit-events?target=${workday.body.id}`, {
    token: product.admin,
  })
  t.match(body.items, [
    { action: 'token.deleted', target: { name: 'Workday' } },
    { action: 'token.updated', changes: { before: { comment } } },
    { action: 'token.created', target: { name: 'Workday SCIM Connector – HR Onboarding' } },
  ])
})

t.test('a token is a JWT, of which the list shows the two ends only', async (t) => {
  const { body } = await create({ name: 'Masked', type: 'scim', lifetime_days: 182 })
  t.match(body.secret, /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/)
  const [listed] = await list('?search=Masked')
  t.equal(listed.hint, `${body.secret.slice(0, 4)}…${body.secret.slice(-4)}`)
})

t.test('the list tells when a token was last used, and which never were', async (t) => {
  const { body: used } = await create({ name: 'In use', type: 'scim', lifetime_days: 182 })
  await create({ name: 'In no use', type: 'scim', lifetime_days: 182 })
  await introspect(used.secret)
  await product.flushUsage()
  t.equal((await list('?search=In+use'))[0].last_used_at, clock.now.toISOString())
  const never = (await list('?never_used=true&limit=200')).map(({ name }) => name)
  t.ok(never.includes('In no use') && !never.includes('In use'))
})

t.test('tabs have counts, and what needs attention is found', async (t) => {
  const counts = (await http('GET', `${tokens}/counts`)).body
  t.equal(counts.active.count, (await list('?status=active&limit=200')).length)
  t.equal(counts.expired.count, (await list('?status=expired&limit=200')).length)
  const reasons = async (query: string) =>
    (await http('GET', `/v1/attention?organization=abc123&${query}`)).body.items.map(({ name }: any) => name)
  t.ok((await reasons('reason=never_used')).includes('In no use'))
  t.ok((await reasons('reason=expiring&days=365')).includes('In use'))
})

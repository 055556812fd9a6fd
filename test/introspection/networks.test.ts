import t from 'tap'
import { createWorld, type World } from '../support/world.ts'

const world = await createWorld(t, { trustProxy: ['127.0.0.1'] })
const { ask, issue } = world
const inactive = { active: false }
const networks = ['192.0.2.0/24', '2001:db8::/32']
const { id, secret } = await issue({ allowed_cidrs: networks })

async function from(client_ip: string | undefined, token = secret, { ask }: World = world) {
  const form = { token, ...(client_ip !== undefined && { client_ip }) }
  return (await ask('POST', '/introspect', { form })).body
}

t.test('a token with networks is good only from them', async (t) => {
  for (const address of [
    '192.0.2.1',
    '::ffff:192.0.2.1',
    '::FFFF:C000:0201',
    '2001:db8::1',
    '2001:DB8:0:0:0:0:0:1',
  ])
    t.match(await from(address), { active: true }, address)
  for (const address of ['192.0.3.1', '::ffff:192.0.3.1', '2001:db9::1', '::192.0.2.1', '127.0.0.1'])
    t.same(await from(address), inactive, address)
})

t.test('without a known address a token with networks is not good', async (t) => {
  t.same(await from(undefined), inactive)
})

t.test('a token without networks is good from any address, known or not', async (t) => {
  const { secret, allowed_cidrs } = await issue()
  t.equal(allowed_cidrs, null)
  for (const address of [undefined, '192.0.2.1', '2001:db8::1'])
    t.match(await from(address, secret), { active: true })
})

t.test("a malformed client_ip is rejected by name, without revealing the token's state", async (t) => {
  for (const client_ip of [
    '',
    'unknown',
    '192.0.2.1, 10.0.0.1',
    '192.0.2.0/24',
    '192.0.2.1:http',
    'fe80::1%eth0',
  ]) {
    const answer = await ask('POST', '/introspect', { form: { token: secret, client_ip } })
    t.match(
      answer,
      { status: 400, body: { error: 'invalid_request', error_description: /client_ip/ } },
      client_ip,
    )
  }
  const form = `token=${secret}&client_ip=192.0.2.1&client_ip=10.0.0.1`
  t.equal((await ask('POST', '/introspect', { form })).status, 400, 'twice')
})

t.test('the address is recorded with the use', async (t) => {
  await from('::ffff:192.0.2.77')
  await world.usage.flush()
  const { body } = await ask('GET', `/v1/organizations/default/tokens/${id}`)
  t.equal(body.last_used_ip, '192.0.2.77')
})

t.test('networks are normalized and deduplicated, and malformed ones rejected', async (t) => {
  const allowed_cidrs = [
    '192.0.2.7/24',
    '192.0.2.0/24',
    '::ffff:198.51.100.0/120',
    '2001:DB8:0::1',
    '203.0.113.9',
  ]
  const made = await issue({ allowed_cidrs })
  t.same(made.allowed_cidrs, ['192.0.2.0/24', '198.51.100.0/24', '2001:db8::1/128', '203.0.113.9/32'])
  const url = '/v1/organizations/default/tokens'
  for (const [status, allowed_cidrs] of [
    [422, ['192.0.2.0/33']],
    [422, ['192.0.2.0/24', 'here']],
    [422, ['fe80::1%eth0']],
    [400, []],
    [400, '192.0.2.0/24'],
    [400, [24]],
    [400, Array.from({ length: 51 }, (_, i) => `192.0.2.${i}`)],
  ] as const) {
    const body = { name: 'Refused', type: 'api', allowed_cidrs }
    const answer = await ask('POST', url, { body })
    t.match(
      answer,
      { status, body: { errors: [{ in: 'body', field: /^allowed_cidrs/ }] } },
      String(allowed_cidrs),
    )
    const change = await ask('PATCH', `${url}/${id}`, { body: { allowed_cidrs } })
    t.match(
      change,
      { status, body: { errors: [{ in: 'body', field: /^allowed_cidrs/ }] } },
      String(allowed_cidrs),
    )
  }
})

t.test('networks can be changed, with immediate effect and a change log event', async (t) => {
  const { id, secret } = await issue({ allowed_cidrs: ['192.0.2.0/24'] })
  const url = `/v1/organizations/default/tokens/${id}`
  t.match(await from('192.0.2.1', secret), { active: true })
  t.equal((await ask('PATCH', url, { body: { allowed_cidrs: ['198.51.100.0/24'] } })).status, 200)
  t.same(await from('192.0.2.1', secret), inactive)
  t.match(await from('198.51.100.1', secret), { active: true })
  t.match(await ask('PATCH', url, { body: { allowed_cidrs: null } }), {
    status: 200,
    body: { allowed_cidrs: null },
  })
  t.match(await from('203.0.113.1', secret), { active: true })
  const { items } = (await ask('GET', `/v1/organizations/default/audit-events?target=${id}`)).body
  t.match(items[1].changes, {
    before: { allowed_cidrs: ['192.0.2.0/24'] },
    after: { allowed_cidrs: ['198.51.100.0/24'] },
  })
  await world.sql("update tokens set allowed_cidrs = '{192.0.2.0/24}' where id = $1", [id])
  t.same(await from('203.0.113.1', secret), inactive, 'by SQL too')
})

t.test('a management token with networks is rejected from other addresses', async (t) => {
  const token = await world.manager(['tokens:read', 'tokens:introspect'], 'default', {
    allowed_cidrs: networks,
  })
  const as = (forwarded: string | undefined, url: string, method = 'GET') =>
    ask(method, url, {
      token,
      headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
      ...(method === 'POST' && { form: { token: secret, client_ip: '192.0.2.1' } }),
    })
  for (const [method, url] of [
    ['GET', '/v1/self'],
    ['POST', '/introspect'],
  ] as const) {
    t.equal((await as('192.0.2.9', url, method)).status, 200)
    for (const forwarded of [undefined, '198.51.100.1', '192.0.2.9, 198.51.100.1', 'nonsense'])
      t.equal((await as(forwarded, url, method)).status, 401, String(forwarded))
  }
})

t.test('X-Forwarded-For of untrusted peers is ignored', async (t) => {
  const wary = await createWorld(t)
  const token = await wary.manager(['tokens:read'], 'default', { allowed_cidrs: networks })
  const headers = { 'x-forwarded-for': '192.0.2.9' }
  t.equal((await wary.ask('GET', '/v1/self', { token, headers })).status, 401)
})

t.test('a malformed address in X-Forwarded-For is not logged and breaks nothing', async (t) => {
  const headers = { 'x-forwarded-for': 'no address' }
  const body = { name: 'From nowhere', type: 'api' }
  const made = await ask('POST', '/v1/organizations/default/tokens', { headers, body })
  t.equal(made.status, 201)
  const { items } = (await ask('GET', `/v1/organizations/default/audit-events?target=${made.body.id}`)).body
  t.equal(items[0].ip, null)
  await world.usage.flush()
})

import t from 'tap'
import { recordedLines } from '../support/records.ts'
import { createWorld } from '../support/world.ts'

// User addresses as sent by proxies, gateways and resource servers, wherever one is read.
const given: [what: string, text: string, address: string | null][] = [
  ['an IPv4 address', '192.0.2.7', '192.0.2.7'],
  ['with a port', '192.0.2.7:51234', '192.0.2.7'],
  ['an IPv6 address', '2001:db8::7', '2001:db8::7'],
  ['in brackets', '[2001:db8::7]', '2001:db8::7'],
  ['in brackets, with a port', '[2001:db8::7]:51234', '2001:db8::7'],
  ['IPv4-mapped', '::ffff:192.0.2.7', '192.0.2.7'],
  ['IPv4-mapped, in brackets, with a port', '[::FFFF:C000:0207]:443', '192.0.2.7'],
  ['with spaces around it', '  192.0.2.7  ', '192.0.2.7'],
  ['not known (RFC 7239 §6.2)', 'unknown', null],
  ['hidden (RFC 7239 §6.3)', '_gazonk', null],
  ['with a hidden port', '192.0.2.7:_gazonk', null],
  ['with a zone', 'fe80::7%eth0', null],
  ['with a zone, in brackets', '[fe80::7%25eth0]:443', null],
  ['IPv4 in brackets', '[192.0.2.7]', null],
  ['a bracket too few', '[2001:db8::7', null],
  ['a port too long', '192.0.2.7:512345', null],
  ['a port that is missing', '192.0.2.7:', null],
  ['a network', '192.0.2.0/24', null],
  ['a leading zero', '192.0.02.7', null],
  ['in quotes', '"192.0.2.7"', null],
  ['an element of Forwarded', 'for=192.0.2.7', null],
  ['a name', 'client.example', null],
]

const networks = ['192.0.2.0/24', '2001:db8::/32']
// Served by the fast path, like common requests of resource servers.
const world = await createWorld(t, { trustProxy: ['127.0.0.1', '10.0.0.0/8'], logLevel: 'info' })
const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
const limited = await world.issue({ allowed_cidrs: networks })
const manager = await world.manager(['tokens:read', 'tokens:write', 'tokens:introspect'], 'default', {
  allowed_cidrs: networks,
})

async function send(
  method: string,
  path: string,
  token: string,
  forwarded: string,
  body?: string,
  more = {},
) {
  const headers = { authorization: `Bearer ${token}`, 'x-forwarded-for': forwarded, ...more }
  const response = await fetch(`${url}${path}`, { method, headers, ...(body !== undefined && { body }) })
  const text = await response.text()
  return {
    status: response.status,
    body: text === '' ? undefined : JSON.parse(text),
    id: response.headers.get('x-request-id'),
  }
}
const form = { 'content-type': 'application/x-www-form-urlencoded' }

t.test('X-Forwarded-For gives the address of an API caller', async (t) => {
  for (const [what, text, address] of given)
    t.equal((await send('GET', '/v1/self', manager, text)).status, address === null ? 401 : 200, what)
})

t.test(
  'X-Forwarded-For gives the address of a caller of /introspect, with and without the fast path',
  async (t) => {
    for (const [what, text, address] of given)
      for (const accept of ['application/json', 'application/json, */*'])
        t.equal(
          (await send('POST', '/introspect', manager, text, `token=${limited.secret}`, { ...form, accept }))
            .status,
          address === null ? 401 : 200,
          `${what}, ${accept}`,
        )
  },
)

t.test('X-Forwarded-For gives the address of a gateway’s user', async (t) => {
  const gateway = { 'x-counterfoil-gateway': await world.manager(['tokens:introspect']) }
  for (const [what, text, address] of given)
    t.equal(
      (await send('GET', '/verify', limited.secret, text, undefined, gateway)).status,
      address === null ? 401 : 200,
      what,
    )
})

t.test('client_ip gives the address of a resource server’s user', async (t) => {
  for (const [what, text, address] of given) {
    const body = String(new URLSearchParams({ token: limited.secret, client_ip: text.trim() }))
    const answer = await send('POST', '/introspect', world.admin, '203.0.113.1', body, form)
    if (address !== null) t.match(answer, { status: 200, body: { active: true } }, what)
    else t.match(answer, { status: 400, body: { error_description: /^client_ip / } }, what)
  }
})

t.test(
  'change log, last use and log line contain the normalized address, and nothing that is not an address',
  async (t) => {
    const tokens = '/v1/organizations/default/tokens'
    for (const [what, text, address] of given) {
      const created = await send(
        'POST',
        tokens,
        world.admin,
        text,
        JSON.stringify({ name: what, type: 'api' }),
        {
          'content-type': 'application/json',
        },
      )
      t.equal(created.status, 201)
      const { items } = (
        await world.ask('GET', `/v1/organizations/default/audit-events?target=${created.body.id}`)
      ).body
      t.equal(items[0].ip, address, `${what}: change log`)
      const [line = '{}'] = recordedLines(`"reqId":"${created.id}"`)
      t.equal(JSON.parse(line).ip, address, `${what}: log line`)
      await send('GET', '/v1/self', created.body.secret, text)
      await world.usage.flush()
      t.equal(
        (await world.ask('GET', `${tokens}/${created.body.id}`)).body.last_used_ip,
        address,
        `${what}: last use`,
      )
    }
  },
)

t.test('the last address that is not a trusted proxy counts, with or without ports', async (t) => {
  const statusFrom = async (forwarded: string) => (await send('GET', '/v1/self', manager, forwarded)).status
  for (const forwarded of [
    '192.0.2.7, 10.0.0.1',
    '192.0.2.7:51234, 10.0.0.1:8080',
    '192.0.2.7:51234,[::ffff:10.0.0.1]:8080, 10.0.0.2',
    '198.51.100.1, 192.0.2.7:51234, 10.0.0.1',
    ', 192.0.2.7 ,, 10.0.0.1,',
    'unknown, 192.0.2.7',
  ])
    t.equal(await statusFrom(forwarded), 200, forwarded)
  for (const forwarded of [
    '192.0.2.7, 198.51.100.1:51234',
    '192.0.2.7, unknown, 10.0.0.1',
    '192.0.2.7, _hidden',
    '192.0.2.7, 11.0.0.1:8080, 10.0.0.1',
    ', ,',
    '',
  ])
    t.equal(await statusFrom(forwarded), 401, forwarded)
})

t.test('RFC 7239: Forwarded is ignored, since proxies that do not support it forward it', async (t) => {
  const more = { forwarded: 'for=192.0.2.7' }
  t.equal((await send('GET', '/v1/self', manager, '198.51.100.1', undefined, more)).status, 401)
})

t.test('a network has no port and no brackets', async (t) => {
  for (const network of [
    '192.0.2.0:80/24',
    '192.0.2.7:80',
    '[2001:db8::]/32',
    '[2001:db8::7]',
    'unknown',
    '',
  ])
    t.match(
      await world.ask('POST', '/v1/organizations/default/tokens', {
        body: { name: 'Refused', type: 'api', allowed_cidrs: [network] },
      }),
      { status: network === '' ? 400 : 422, body: { errors: [{ in: 'body', field: /^allowed_cidrs/ }] } },
      network,
    )
})

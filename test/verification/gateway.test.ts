import t from 'tap'
import { createWorld, type World } from '../support/world.ts'

const world = await createWorld(t)
const { issue, manager } = world
for (const key of ['acme', 'other'])
  await world.ask('POST', '/v1/organizations', { body: { key, name: key } })
const token = await issue({}, 'acme')

async function statusFor(as: string | undefined, secret = token.secret, { ask }: World = world) {
  const headers: Record<string, string> = as === undefined ? {} : { 'x-counterfoil-gateway': as }
  return (await ask('GET', '/verify', { token: secret, headers })).status
}

t.test('an unauthenticated gateway is rejected and told what to do', async (t) => {
  const answer = await world.ask('GET', '/verify', { token: token.secret })
  t.match(answer, { status: 401, body: { code: 'unauthenticated', detail: /X-Counterfoil-Gateway/ } })
  const challenge = [answer.headers['www-authenticate']].flat()
  t.same(challenge, ['Bearer realm="counterfoil"'], 'no password prompt')
  const unknown = await world.ask('GET', '/verify', { token: 'unknown' })
  t.same(
    { ...unknown.body, request_id: '' },
    { ...answer.body, request_id: '' },
    'nothing shows of the token',
  )
})

t.test('a bad or insufficient gateway credential is rejected', async (t) => {
  for (const as of ['unknown', '', 'two tokens', await manager(['tokens:read']), token.secret])
    t.equal(await statusFor(as), 401, as.slice(0, 4))
  const good = await manager(['tokens:introspect'], 'platform')
  t.equal(await statusFor(good), 200)
  t.equal(await statusFor(`${good}, ${good}`), 401, 'sent twice')
})

t.test('a gateway sees what its token sees: its organization, within its narrowing', async (t) => {
  const api = await issue({ audience: ['https://a.example'] }, 'acme')
  for (const [organization, narrowed_to, status] of [
    ['acme', null, 200],
    ['other', null, 401],
    ['platform', null, 200],
    ['platform', { organizations: ['acme'] }, 200],
    ['platform', { organizations: ['other'] }, 401],
    ['acme', { types: ['api'], audience: ['https://a.example'] }, 200],
    ['acme', { types: ['scim'] }, 401],
    ['acme', { audience: ['https://b.example'] }, 401],
  ] as const) {
    const as = await manager(['tokens:introspect'], organization, { narrowed_to })
    t.equal(await statusFor(as, api.secret), status, `${organization} ${JSON.stringify(narrowed_to)}`)
  }
})

t.test('a trusted network needs no credential, but a bad one is rejected', async (t) => {
  const verification = { fields: [], trustedNetworks: ['127.0.0.0/8'] }
  const trusting = await createWorld(t, { verification })
  const { secret } = await trusting.issue()
  t.equal(await statusFor(undefined, secret, trusting), 200)
  t.equal(await statusFor('unknown', secret, trusting), 401)
})

t.test('trust depends on the connection, never on X-Forwarded-For', async (t) => {
  const verification = { fields: [], trustedNetworks: ['192.0.2.0/24'] }
  const wary = await createWorld(t, { verification, trustProxy: ['127.0.0.1'] })
  const { secret } = await wary.issue()
  const headers = { 'x-forwarded-for': '192.0.2.1', 'x-real-ip': '192.0.2.1', forwarded: 'for=192.0.2.1' }
  t.equal((await wary.ask('GET', '/verify', { token: secret, headers })).status, 401)
})

t.test("the networks of a gateway's token apply to the address of its connection", async (t) => {
  const proxied = await createWorld(t, { trustProxy: ['127.0.0.1'] })
  const { secret } = await proxied.issue()
  const headers = { 'x-forwarded-for': '192.0.2.1' }
  for (const [network, status] of [
    ['127.0.0.0/8', 200],
    ['192.0.2.0/24', 401],
  ] as const) {
    const as = await proxied.manager(['tokens:introspect'], 'default', { allowed_cidrs: [network] })
    const answer = await proxied.ask('GET', '/verify', {
      token: secret,
      headers: { ...headers, 'x-counterfoil-gateway': as },
    })
    t.equal(answer.status, status, network)
  }
})

t.test('a token with networks is accepted if a trusted proxy reports a matching user address', async (t) => {
  const cases: [trustProxy: string[], forwarded: [string | undefined, number][]][] = [
    [
      ['127.0.0.1'],
      [
        ['192.0.2.1', 200],
        ['::ffff:192.0.2.1', 200],
        ['198.51.100.1, 192.0.2.1', 200],
        ['192.0.2.1, 198.51.100.1', 401],
        [undefined, 401],
        ['', 401],
        ['unknown', 401],
      ],
    ],
    [['198.51.100.1'], [['192.0.2.1', 401]]],
    [[], [['192.0.2.1', 401]]],
  ]
  for (const [trustProxy, forwarded] of cases) {
    const verification = { fields: [], trustedNetworks: ['127.0.0.1'] }
    const { ask, issue } = await createWorld(t, { trustProxy, verification })
    // The gateway's own address is in the list, but it is not the user's.
    const { secret } = await issue({ allowed_cidrs: ['192.0.2.0/24', '127.0.0.0/8'] })
    for (const [address, status] of forwarded) {
      const headers: Record<string, string> = address === undefined ? {} : { 'x-forwarded-for': address }
      const answer = await ask('GET', '/verify', { token: secret, headers })
      t.equal(answer.status, status, `${trustProxy}: ${address}`)
    }
  }
})

import { once } from 'node:events'
import { type AddressInfo, createServer, isIPv6, type LookupFunction } from 'node:net'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { createGuard } from '../../src/outbound/guard.ts'
import { createOutbound } from '../../src/outbound/outbound.ts'
import type { Resolve } from '../../src/outbound/resolve.ts'

const { signal } = new AbortController()
const refused = { message: 'resolves to an address that this service may not call' }
const { flawOf } = createGuard([])
const host = (address: string) => (isIPv6(address) ? `[${address}]` : address)

const inside = {
  'this machine': ['127.0.0.1', '127.8.9.1', '::1', '0.0.0.0', '::'],
  'RFC 1918, private': ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
  'RFC 6598, carrier-grade NAT': ['100.64.0.1', '100.127.255.255', '100.100.100.200'],
  'RFC 3927 and RFC 4291 §2.5.6, link-local': ['169.254.0.1', 'fe80::1'],
  'RFC 4193, unique local': ['fc00::1', 'fd12:3456::1'],
  'metadata of clouds': ['169.254.169.254', 'fd00:ec2::254', '168.63.129.16'],
  'RFC 5771 and RFC 4291 §2.7, multicast': ['224.0.0.1', 'ff02::1'],
  'RFC 6890, other special purposes': [
    '192.0.0.8',
    '198.18.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '2001:db8::1',
  ],
  'RFC 4291 §2.5.5.2, IPv4 in IPv6': [
    '::ffff:127.0.0.1',
    '::ffff:10.0.0.1',
    '::ffff:a9fe:a9fe',
    '::127.0.0.1',
  ],
  'ways from IPv6 to any IPv4 address': ['64:ff9b::10.0.0.1', '2002:7f00:1::', '2001:0:7f00:1::'],
}
for (const [kind, addresses] of Object.entries(inside)) {
  t.test(`${kind}: rejected as a literal and as the target of a name`, async (t) => {
    for (const address of addresses) {
      t.equal(
        flawOf(`https://${host(address)}/jwks`),
        'has an address that this service may not call',
        address,
      )
      await t.rejects(resolved(address, []), refused, address)
    }
  })
}

t.test('public addresses may be called', async (t) => {
  for (const address of ['1.1.1.1', '93.184.216.34', '172.32.0.1', '2606:4700::1111', '::ffff:1.1.1.1']) {
    t.equal(flawOf(`https://${host(address)}/jwks`), undefined, address)
    t.same(await resolved(address, []), [address])
  }
})

t.test('other spellings of an address count as that address', async (t) => {
  for (const spelling of ['0x7f.1', '2130706433', '127.1', '017700000001', '１２７.0.0.1', '0', '[0:0::1]'])
    t.equal(flawOf(`https://${spelling}/`), 'has an address that this service may not call', spelling)
})

t.test('every IPv4 address is treated alike in all its spellings', async () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      const number = address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0)
      const verdicts = [address, String(number), `[::ffff:${address}]`].map((name) =>
        flawOf(`https://${name}/`),
      )
      return new Set(verdicts).size === 1
    }),
  )
})

t.test('only https, without credentials and fragments', async (t) => {
  const flaws: Record<string, string> = {
    'http://issuer.example/': 'is not an https URL',
    'http://127.0.0.1/': 'is not an https URL',
    'http://localhost/': 'is not an https URL',
    'file:///etc/passwd': 'is not an https URL',
    'ftp://issuer.example/': 'is not an https URL',
    'data:application/json,{}': 'is not an https URL',
    'issuer.example': 'is not an https URL',
    '': 'is not an https URL',
    'https://user@issuer.example/': 'has a user name or a password',
    'https://issuer.example/#keys': 'has a fragment',
  }
  for (const [url, flaw] of Object.entries(flaws)) t.equal(flawOf(url), flaw, url)
  t.equal(flawOf('https://issuer.example:8443/jwks?v=1'), undefined)
})

t.test('allowed addresses may be called, without TLS on loopback only', async (t) => {
  const { flawOf } = createGuard(['127.0.0.0/8', '::1', '10.1.0.0/16'])
  for (const url of [
    'https://10.1.2.3/',
    'https://[::ffff:10.1.2.3]/',
    'http://127.0.0.1:8080/',
    'http://[::1]/',
  ])
    t.equal(flawOf(url), undefined, url)
  for (const url of ['http://10.1.2.3/', 'http://1.1.1.1/', 'http://localhost/'])
    t.equal(flawOf(url), 'is not an https URL', url)
  t.equal(flawOf('https://10.2.0.1/'), 'has an address that this service may not call')
  t.same(await resolved('10.1.2.3', ['10.1.0.0/16']), ['10.1.2.3'])
})

t.test('of several addresses of a name only permitted ones are called', async (t) => {
  t.same(await resolved(['10.0.0.1', '1.1.1.1', '::1', '2606:4700::1111'], []), [
    '1.1.1.1',
    '2606:4700::1111',
  ])
})

t.test('a name that resolves to this machine is rejected with the real resolver too', async (t) => {
  const { promise, resolve } = Promise.withResolvers<Error | null>()
  createGuard([]).lookup(signal)('localhost', {}, resolve)
  t.match(await promise, refused)
})

t.test('a name that changes its address is called at the address that was checked', async (t) => {
  const [first, second] = [await listen(t, '127.0.0.2'), await listen(t, '127.0.0.3')]
  const answers = ['127.0.0.2', '127.0.0.3']
  const asked: string[] = []
  const resolve: Resolve = async (name) => {
    asked.push(name)
    return [{ address: answers.shift() ?? '', family: 4 }]
  }
  const { fetchJson } = createOutbound({ allow: ['127.0.0.2'], resolve })
  const failed = t.rejects(fetchJson(`https://rebinding.example:${first.port}/jwks`, 'acme'), {
    message: 'cannot be reached',
  })
  // What arrives is the start of a TLS handshake, with the name that the certificate has to match.
  t.equal((await first.hello)[0], 0x16)
  t.match((await first.hello).toString('latin1'), /rebinding\.example/)
  await failed
  t.same(asked, ['rebinding.example'])
  await t.rejects(fetchJson(`https://rebinding.example:${second.port}/jwks`, 'acme'), {
    ...refused,
  })
  t.equal(second.connections(), 0)
})

/** The addresses that a socket gets for a name that resolves to these. */
async function resolved(addresses: string | string[], allowed: string[]): Promise<string[]> {
  const found = [addresses].flat().map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }))
  const { promise, resolve: fulfil, reject } = Promise.withResolvers<string[]>()
  const done: Parameters<LookupFunction>[2] = (error, given) =>
    error ? reject(error) : fulfil([given].flat().map((one) => (typeof one === 'string' ? one : one.address)))
  createGuard(allowed, async () => found).lookup(signal)('name.example', { all: true }, done)
  return promise
}

/** Accepts connections and closes them at their first bytes. */
async function listen(t: Test, address: string) {
  const { promise: hello, resolve } = Promise.withResolvers<Buffer>()
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    socket.once('data', (data: Buffer) => {
      resolve(data)
      socket.destroy()
    })
    socket.on('error', () => {})
  })
  server.listen(0, address)
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { port: (server.address() as AddressInfo).port, hello, connections: () => connections }
}

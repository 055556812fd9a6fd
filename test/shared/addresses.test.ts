import { isIPv4, SocketAddress } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { isWithinNetworks, networksOf, plainAddress, plainNetwork } from '../../src/shared/addresses.ts'

const v4 = fc.ipV4()
const v6 = fc.ipV6()
const mapped = v4.map((address) => `::ffff:${address}`)
const any = fc.oneof(v4, v6, mapped)
const width = (address: string) => (isIPv4(address) ? 32 : 128)

t.test('an address is normalized, and an IPv4-mapped address becomes IPv4', async (t) => {
  const parse = (address: string) => new SocketAddress({ address, family: 'ipv6' }).address
  fc.assert(
    fc.property(v4, v6, (four, six) => {
      const [a = 0, b = 0, c = 0, d = 0] = four.split('.').map(Number)
      const [high, low] = [a * 256 + b, c * 256 + d].map((number) => number.toString(16))
      for (const text of [four, `::FFFF:${four}`, `0:0:0:0:0:ffff:${four}`, `::ffff:${high}:${low}`])
        t.equal(plainAddress(text), four, text)
      for (const text of [`${four}:443`, `[::ffff:${four}]`, `[::ffff:${four}]:1`])
        t.equal(plainAddress(text), four, text)
      const plain = plainAddress(six) ?? ''
      t.equal(plainAddress(plain), plain)
      t.equal(plainAddress(`[${six}]:65535`), plain)
      if (!isIPv4(plain)) t.equal(parse(plain), parse(six))
    }),
  )
})

t.test('text that is not an address gives null and does not throw', async (t) => {
  const odd = [
    '',
    ' 10.0.0.1',
    '10.0.0.01',
    '10.0.0',
    '10.0.0.1/8',
    'fe80::1%eth0',
    '[::1',
    '[10.0.0.1]',
    '10.0.0.1:x',
    '[::1]:_x',
    '::1::',
    'unknown',
  ]
  for (const text of odd) t.equal(plainAddress(text), null, text)
  t.equal(plainAddress(undefined), null)
  fc.assert(
    fc.property(fc.string(), (text) => {
      const plain = plainAddress(text)
      if (plain !== null) t.equal(plainAddress(plain), plain)
      const network = plainNetwork(text)
      if (network !== undefined) t.equal(plainNetwork(network), network)
    }),
  )
})

t.test('a network has one canonical form', async (t) => {
  fc.assert(
    fc.property(any, fc.nat(128), (address, bits) => {
      fc.pre(bits <= width(address))
      const network = plainNetwork(`${address}/${bits}`) ?? ''
      t.equal(plainNetwork(network), network)
      const plain = plainAddress(address) ?? ''
      // Beyond the mapped addresses, an IPv6 network contains no IPv4 address.
      if (isIPv4(plain) === isIPv4(network.split('/')[0] ?? '')) t.ok(networksOf([network])(plain))
    }),
  )
  for (const [given, plain] of [
    ['192.0.2.7/24', '192.0.2.0/24'],
    ['192.0.2.7', '192.0.2.7/32'],
    ['2001:DB8:0:0::1/32', '2001:db8::/32'],
    ['2001:db8::1', '2001:db8::1/128'],
    ['::ffff:192.0.2.7/120', '192.0.2.0/24'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['::/0', '::/0'],
  ] as const)
    t.equal(plainNetwork(given), plain)
})

t.test('text that is not a network gives undefined', async (t) => {
  for (const text of [
    '',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.0.0.1:80',
    '[::1]/128',
    '::/129',
    'fe80::%1/64',
    'a/8',
  ])
    t.equal(plainNetwork(text), undefined, text)
})

t.test('a network contains exactly the addresses with its prefix', async (t) => {
  const inside = networksOf(['192.0.2.0/24', '2001:db8::/32', '198.51.100.7/32'])
  for (const address of ['192.0.2.0', '192.0.2.255', '::ffff:192.0.2.9', '2001:db8:ffff::1', '198.51.100.7'])
    t.equal(inside(address), true, address)
  for (const address of ['192.0.3.0', '192.0.1.255', '2001:db9::', '198.51.100.8', '::c000:201'])
    t.equal(inside(address), false, address)
})

t.test('networks are within others if each of them is within one of the others', async (t) => {
  const within: [string[] | null, string[] | null][] = [
    [null, null],
    [['192.0.2.0/24'], null],
    [[], ['192.0.2.0/24']],
    [['192.0.2.0/24'], ['192.0.2.0/24']],
    [
      ['192.0.2.128/25', '2001:db8:1::/48'],
      ['2001:db8::/32', '192.0.2.0/24'],
    ],
    [['192.0.2.7'], ['192.0.2.7/32']],
    [['::ffff:192.0.2.0/120'], ['192.0.2.0/24']],
    [['192.0.2.0/24'], ['0.0.0.0/0']],
  ]
  const beyond: [string[] | null, string[] | null][] = [
    [null, ['0.0.0.0/0', '::/0']],
    [['192.0.2.0/23'], ['192.0.2.0/24']],
    [['192.0.3.0/24'], ['192.0.2.0/24']],
    [['192.0.2.0/24', '198.51.100.1'], ['192.0.2.0/24']],
    [['2001:db9::/32'], ['2001:db8::/32']],
    [['::/0'], ['0.0.0.0/0']],
    [['0.0.0.0/0'], ['::/0']],
    [['192.0.2.0/24'], []],
  ]
  for (const [inner, outer] of within) t.ok(isWithinNetworks(inner, outer), `${inner} in ${outer}`)
  for (const [inner, outer] of beyond) t.notOk(isWithinNetworks(inner, outer), `${inner} not in ${outer}`)
})

import { createPublicKey, generateKeyPairSync, hash, sign, verify, type webcrypto } from 'node:crypto'
import { jwtVerify } from 'jose'
import t from 'tap'
import { createOutbound } from '../../src/outbound/outbound.ts'
import { fitPublicKey } from '../../src/outbound/public-key.ts'
import { maxKeys } from '../../src/outbound/remote-jwks.ts'
import { makeClient, withAssertion } from '../support/client.ts'
import { createWorld } from '../support/world.ts'
import { json, serve } from './server.ts'

const jwkOf = (pair: { publicKey: { export(options: { format: 'jwk' }): webcrypto.JsonWebKey } }) =>
  pair.publicKey.export({ format: 'jwk' })
const rsa = jwkOf(generateKeyPairSync('rsa', { modulusLength: 2048 }))
const ec = jwkOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }))
const okp = (x: string | Buffer) => ({
  kty: 'OKP',
  crv: 'Ed25519',
  x: Buffer.from(x as string, 'hex').toString('base64url'),
})
const exponent = (e: bigint) => {
  const hex = e.toString(16)
  return {
    ...rsa,
    e: Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex').toString('base64url'),
  }
}

// All points whose order divides 8, in every encoding that OpenSSL accepts (RFC 8032 §5.1.3), including non-canonical
// ones.
const y8 = '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc'
const z8 = 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03'
const smallOrder = [
  '01'.padEnd(64, '0'),
  `ec${'ff'.repeat(30)}7f`,
  '00'.repeat(32),
  `${'00'.repeat(31)}80`,
  `${y8}05`,
  `${y8}85`,
  `${z8}7a`,
  `${z8}fa`,
  `01${'00'.repeat(30)}80`,
  `ec${'ff'.repeat(31)}`,
  `ed${'ff'.repeat(30)}7f`,
  `ed${'ff'.repeat(31)}`,
  `ee${'ff'.repeat(30)}7f`,
  `ee${'ff'.repeat(31)}`,
]

const unfit: [what: string, jwk: object][] = [
  ['RSA with e=1', exponent(1n)],
  ['RSA with e=2', exponent(2n)],
  ['RSA with e=3', exponent(3n)],
  ['RSA with e=17', exponent(17n)],
  ['RSA with an even exponent', exponent(65_536n)],
  ['RSA with an even exponent, greater', exponent(65_538n)],
  ['RSA with an exponent of more than 64 bits', exponent(2n ** 64n + 1n)],
  ['RSA with 1024 bits', jwkOf(generateKeyPairSync('rsa', { modulusLength: 1024 }))],
  ['RSA without a modulus', { kty: 'RSA', n: '', e: 'AQAB' }],
  ['a point that is not on P-256', { ...ec, y: ec.x }],
  ['the point (0, 0) of P-256', { ...ec, x: 'A'.repeat(43), y: 'A'.repeat(43) }],
  ['a curve of another use', jwkOf(generateKeyPairSync('x25519'))],
  ['a curve that no algorithm is for', jwkOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }))],
  ...smallOrder.map((x): [string, object] => [
    `Ed25519 of small order, ${x.slice(0, 4)}…${x.slice(-2)}`,
    okp(x),
  ]),
  ['Ed25519 with y of p + 3', okp(`f0${'ff'.repeat(30)}7f`)],
  ['a y that no point of Ed25519 has', okp('02'.padEnd(64, '0'))],
  ['an Ed25519 key that is too short', { kty: 'OKP', crv: 'Ed25519', x: 'AA' }],
]

t.test('properly generated keys are accepted', async (t) => {
  for (let i = 0; i < 50; i++) t.ok(fitPublicKey(jwkOf(generateKeyPairSync('ed25519'))))
  for (const namedCurve of ['P-256', 'P-384', 'P-521'])
    t.ok(fitPublicKey(jwkOf(generateKeyPairSync('ec', { namedCurve }))), namedCurve)
  for (const e of [65_537n, 65_539n, 2n ** 32n + 1n]) t.ok(fitPublicKey(exponent(e)), `RSA with e=${e}`)
})

/** RFC 8017 §9.2: with e = 1 the signature of a message is its padded hash, which anyone can compute. */
function signedByAnybody(message: string): Buffer {
  const head = Buffer.from('3031300d060960864801650304020105000420', 'hex')
  const digest = hash('sha256', message, 'buffer')
  return Buffer.concat([
    Buffer.from([0, 1]),
    Buffer.alloc(256 - 3 - head.length - digest.length, 0xff),
    Buffer.from([0]),
    head,
    digest,
  ])
}

t.test('the reason: with e=1 anyone can sign', async (t) => {
  const one = createPublicKey({ key: exponent(1n), format: 'jwk' })
  t.ok(verify('sha256', Buffer.from('abc'), one, signedByAnybody('abc')))
})

const world = await createWorld(t, { outbound: { allow: ['127.0.0.1'] } })
const client = await makeClient(world)

t.test('weak keys are rejected at registration, by their index', async (t) => {
  for (const [what, jwk] of unfit)
    t.match(
      await world.ask('PUT', client.keysUrl, { body: { jwks: { keys: [ec, { ...jwk, kid: 'two' }] } } }),
      {
        status: 422,
        body: { errors: [{ in: 'body', field: 'jwks.keys.1', detail: /is not a public key/ }] },
      },
      what,
    )
})

t.test('weak keys are ignored in fetched sets, for clients and issuers', async (t) => {
  const pair = generateKeyPairSync('ed25519')
  const keys = [...unfit.map(([, jwk], i) => ({ ...jwk, kid: `unfit-${i}` })), { ...jwkOf(pair), kid: 'fit' }]
  const { url } = await serve(t, json({ keys }))
  const { jwks } = createOutbound({ allow: ['127.0.0.1'] })
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const verified = (kid: string, alg: string, signature: (input: string) => Buffer) => {
    const input = `${part({ alg, kid })}.${part({ sub: 'ada' })}`
    return jwtVerify(`${input}.${signature(input).toString('base64url')}`, jwks(url, 'acme'))
  }
  t.match(await verified('fit', 'EdDSA', (input) => sign(null, Buffer.from(input), pair.privateKey)), {
    payload: { sub: 'ada' },
  })
  for (const [i, [what, jwk]] of unfit.entries()) {
    const alg = { RSA: 'RS256', EC: 'ES256', OKP: 'EdDSA' }[(jwk as { kty: string }).kty] ?? ''
    await t.rejects(verified(`unfit-${i}`, alg, signedByAnybody), { code: 'ERR_JWKS_NO_MATCHING_KEY' }, what)
  }
})

t.test('a set with too many keys is rejected', async (t) => {
  const keys = Array.from({ length: maxKeys + 1 }, (_, i) => ({ ...ec, kid: String(i) }))
  const { url } = await serve(t, json({ keys }))
  const { jwks } = createOutbound({ allow: ['127.0.0.1'] })
  const token = `${Buffer.from('{"alg":"ES256","kid":"0"}').toString('base64url')}.e30.AA`
  await t.rejects(jwtVerify(token, jwks(url, 'acme')), { message: `has more than ${maxKeys} keys` })
})

t.test('a weak key that is already in the database is not accepted', async (t) => {
  await world.sql('update client_keys set jwks = $1 where token_id = $2', [
    JSON.stringify({ keys: [{ ...exponent(1n), kid: 'one' }] }),
    client.id,
  ])
  const [, payload = ''] = (await client.sign()).split('.')
  const input = `${Buffer.from('{"alg":"RS256","kid":"one"}').toString('base64url')}.${payload}`
  const forged = `${input}.${signedByAnybody(input).toString('base64url')}`
  t.match(await client.introspect('x', withAssertion(forged)), {
    status: 401,
    body: { error: 'invalid_client' },
  })
})

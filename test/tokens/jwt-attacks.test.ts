import { createHmac, generateKeyPairSync } from 'node:crypto'
import {
  createLocalJWKSet,
  decodeProtectedHeader,
  exportSPKI,
  importJWK,
  type JWTPayload,
  jwtVerify,
  SignJWT,
} from 'jose'
import t from 'tap'
import { createWorld, day, issuer } from '../support/world.ts'

const audience = 'https://api.example'
const world = await createWorld(t, { signing: { alg: 'RS256' } })
for (const [name, of] of [
  ['jwt', audience],
  ['other', 'https://other.example'],
] as const)
  await world.ask('POST', '/v1/token-types', { body: { name, format: 'jwt', audience: [of] } })

const { body: jwks } = await world.ask('GET', '/.well-known/jwks.json')
const [publicJwk] = jwks.keys
const publicPem = await exportSPKI((await importJWK(publicJwk, 'RS256')) as CryptoKey)
const issued: string = (await world.issue({ type: 'jwt', lifetime_days: 2 })).secret
const [head = '', body = '', signature = ''] = issued.split('.')
const header = decodeProtectedHeader(issued)
const claims: JWTPayload = JSON.parse(Buffer.from(body, 'base64url').toString())

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const withClaims = (change: object) => `${head}.${encode({ ...claims, ...change })}.${signature}`
const hmac = (input: string, key: string) =>
  `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`

// The attacker's key pair, and a forged token that it signed.
const attacker = generateKeyPairSync('rsa', { modulusLength: 2048 })
const attackerJwk = attacker.publicKey.export({ format: 'jwk' })
const forged = (more: object) =>
  new SignJWT(claims).setProtectedHeader({ ...header, alg: 'RS256', ...more }).sign(attacker.privateKey)

/** What docs/jwt.md tells a resource server to do. */
async function accepts(token: string): Promise<boolean> {
  const options = { issuer, audience, typ: 'at+jwt', algorithms: ['RS256'], currentDate: world.clock.now }
  return jwtVerify(token, createLocalJWKSet(jwks), options).then(
    () => true,
    () => false,
  )
}

const attacks: Record<string, string> = {
  'a claim changed': withClaims({ scope: 'admin' }),
  'a later expiry': withClaims({ exp: (claims.exp ?? 0) + 1000 }),
  'no expiry': withClaims({ exp: undefined }),
  'another issuer': withClaims({ iss: 'https://evil.example' }),
  'another audience': withClaims({ aud: ['https://other.example'] }),
  'a claim repeated, the last one bad': `${head}.${duplicate('scope', 'admin', 'last')}.${signature}`,
  'a claim repeated, the first one bad': `${head}.${duplicate('scope', 'admin', 'first')}.${signature}`,
  'a header changed': `${encode({ ...header, typ: 'JWT' })}.${body}.${signature}`,
  'one bit of the signature': `${head}.${body}.${signature[0] === 'A' ? 'B' : 'A'}${signature.slice(1)}`,
  'no signature': `${head}.${body}.`,
  'only two parts': `${head}.${body}`,
  'a fourth part': `${issued}.${signature}`,
  'padding after it': `${issued}==`,
  'RFC 8725 §2.1: alg none': `${encode({ ...header, alg: 'none' })}.${body}.`,
  'alg None': `${encode({ ...header, alg: 'None' })}.${body}.`,
  'alg none with the signature left on': `${encode({ ...header, alg: 'none' })}.${body}.${signature}`,
  'RFC 8725 §2.1: HS256 with the public key in PEM': hmac(
    `${encode({ ...header, alg: 'HS256' })}.${body}`,
    publicPem,
  ),
  'HS256 with the public JWK': hmac(
    `${encode({ ...header, alg: 'HS256' })}.${body}`,
    JSON.stringify(publicJwk),
  ),
  'HS256 with the modulus': hmac(`${encode({ ...header, alg: 'HS256' })}.${body}`, publicJwk.n),
  'HS256 with an empty key': hmac(`${encode({ ...header, alg: 'HS256' })}.${body}`, ''),
  'another algorithm of the same key': `${encode({ ...header, alg: 'PS256' })}.${body}.${signature}`,
  'a key of the attacker under our kid': await forged({}),
  'a key of the attacker under its own kid': await forged({ kid: 'attacker' }),
  'no kid': await forged({ kid: undefined }),
  'a kid that is a path': await forged({ kid: '../../../../dev/null' }),
  'a kid that is SQL': await forged({ kid: "' or '1'='1" }),
  'RFC 7515 §4.1.3: an embedded jwk': await forged({ jwk: attackerJwk }),
  'RFC 7515 §4.1.2: a jku': await forged({ jku: 'https://evil.example/jwks.json' }),
  'RFC 7515 §4.1.5: an x5u': await forged({ x5u: 'https://evil.example/chain.pem' }),
  'RFC 7515 §4.1.6: an x5c': await forged({ x5c: [Buffer.from('not a certificate').toString('base64')] }),
  'RFC 7515 §4.1.11: an unknown critical extension': `${encode({ ...header, crit: ['exp2'], exp2: 1 })}.${body}.${signature}`,
}

t.test('issued tokens are accepted, so the rejections below are meaningful', async (t) => {
  t.equal(await accepts(issued), true)
  t.equal((await world.introspect(issued)).active, true)
})

for (const [attack, token] of Object.entries(attacks)) {
  t.test(`${attack}: inactive here, rejected by verifiers`, async (t) => {
    const answer = await world.ask('POST', '/introspect', { form: { token } })
    t.match({ status: answer.status, body: answer.body }, { status: 200, body: { active: false } })
    t.same(Object.keys(answer.body), ['active'])
    t.equal(await accepts(token), false)
    t.equal((await world.ask('GET', '/v1/self', { token })).status, 401)
  })
}

t.test('a token for another audience is rejected by a verifier that checks it', async (t) => {
  const { secret } = await world.issue({ type: 'other', lifetime_days: 2 })
  t.equal(await accepts(secret), false)
})

t.test(
  'RFC 8725 §3.11: a signed introspection response cannot be mistaken for an access token',
  async (t) => {
    const accept = 'application/token-introspection+jwt'
    const { text } = await world.ask('POST', '/introspect', { form: { token: issued }, headers: { accept } })
    t.equal(await accepts(text), false)
    t.same(await world.introspect(text), { active: false })
  },
)

t.test('a JWT outside its validity is rejected here and by verifiers', async (t) => {
  const at = (ms: number) => new Date(world.clock.now.getTime() + ms).toISOString()
  const token = (await world.issue({ type: 'jwt', not_before: at(day), expires_at: at(3 * day) })).secret
  const verdicts = async () => [(await world.introspect(token)).active, await accepts(token)]
  t.same(await verdicts(), [false, false])
  world.clock.advance(day)
  t.same(await verdicts(), [true, true])
  world.clock.advance(2 * day)
  t.same(await verdicts(), [false, false])
})

function duplicate(claim: string, value: string, where: 'first' | 'last'): string {
  const text = JSON.stringify(claims)
  const extra = JSON.stringify({ [claim]: value }).slice(1, -1)
  const changed = where === 'first' ? `{${extra},${text.slice(1)}` : `${text.slice(0, -1)},${extra}}`
  return Buffer.from(changed).toString('base64url')
}

// Tokens that a real provider would never issue, most of them with its own signature, at the paths that accept users.
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { type JWTHeaderParameters, SignJWT, UnsecuredJWT } from 'jose'
import t from 'tap'
import { recordedLines, recordSecret } from '../support/records.ts'
import { audience, startProvider } from './provider.ts'
import { createTrustingWorld, trust } from './trust.ts'

const world = await createTrustingWorld(t)
const provider = await startProvider(t)
const other = await startProvider(t)
await trust(world, provider, { default_permissions: ['tokens:read'] })
await trust(world, other, { default_permissions: ['tokens:read'] })

const now = Math.floor(world.clock.now.getTime() / 1000)
const claims = { iss: provider.issuer, aud: audience, sub: 'ada', iat: now, exp: now + 600 }
const good = await provider.sign(claims)
const [head = '', body = '', signature = ''] = good.split('.')
const header = JSON.parse(Buffer.from(head, 'base64url').toString())

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const withClaims = (change: object) => provider.sign({ ...claims, ...change })
const withHeader = (change: Record<string, unknown>) => provider.sign(claims, change)
const hmac = (key: string) => {
  const input = `${encode({ ...header, alg: 'HS256' })}.${body}`
  return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
}
const pem = provider.publicKey.export({ type: 'spki', format: 'pem' }).toString()
const jwk = provider.publicKey.export({ format: 'jwk' })

const attacker = generateKeyPairSync('rsa', { modulusLength: 2048 })
const forged = (more: Partial<JWTHeaderParameters>) =>
  new SignJWT(claims).setProtectedHeader({ ...header, ...more }).sign(attacker.privateKey)
const repeated = (extra: string, where: 'first' | 'last') => {
  const text = JSON.stringify(claims)
  const changed = where === 'first' ? `{${extra},${text.slice(1)}` : `${text.slice(0, -1)},${extra}}`
  return `${head}.${Buffer.from(changed).toString('base64url')}.${signature}`
}

const attacks: Record<string, string> = {
  'RFC 8725 §2.1: no algorithm': new UnsecuredJWT(claims).encode(),
  'alg none with the signature left on': `${encode({ ...header, alg: 'none' })}.${body}.${signature}`,
  'RFC 8725 §2.1: HS256 with the public key in PEM': hmac(pem),
  'HS256 with the public JWK': hmac(JSON.stringify(jwk)),
  'HS256 with the modulus': hmac(jwk.n ?? ''),
  'an algorithm that is not registered': await withHeader({ alg: 'RS512' }),
  'the signature of another algorithm': `${encode({ ...header, alg: 'PS256' })}.${body}.${signature}`,
  'a key of the attacker under the kid of the provider': await forged({}),
  'a key of the attacker under its own kid': await forged({ kid: 'attacker' }),
  'RFC 7515 §4.1.3: an embedded jwk': await forged({ jwk: attacker.publicKey.export({ format: 'jwk' }) }),
  'RFC 7515 §4.1.2: a jku': await forged({ jku: 'https://evil.example/jwks.json' }),
  'RFC 7515 §4.1.5: an x5u': await forged({ x5u: 'https://evil.example/chain.pem' }),
  'RFC 7515 §4.1.11: a critical extension': `${encode({ ...header, crit: ['x'], x: 1 })}.${body}.${signature}`,
  'RFC 7797 §7: an unencoded payload': `${encode({ ...header, b64: false, crit: ['b64'] })}.${body}.${signature}`,
  'RFC 8725 §3.8: the key of another trusted issuer': await other.sign(claims),
  'the key and the kid of another trusted issuer': await other.sign(claims, { kid: header.kid }),
  'an issuer that is not trusted': await withClaims({ iss: 'https://evil.example' }),
  'an issuer with a slash more': await withClaims({ iss: `${provider.issuer}/` }),
  'an issuer that is no text': await withClaims({ iss: [provider.issuer] }),
  'an issuer that the database cannot hold': await withClaims({ iss: 'https://a\0.example' }),
  'no issuer': await withClaims({ iss: undefined }),
  'RFC 8725 §3.9: another audience': await withClaims({ aud: 'https://other.example' }),
  'no audience': await withClaims({ aud: undefined }),
  'an audience that is no text': await withClaims({ aud: [{}, null, 7] }),
  'RFC 8725 §3.11: a signed introspection answer': await withHeader({ typ: 'token-introspection+jwt' }),
  'a status list': await withHeader({ typ: 'statuslist+jwt' }),
  'a logout token': await withHeader({ typ: 'logout+jwt' }),
  'a typ that is no text': await withHeader({ typ: 7 }),
  'a kid that is no text': await withHeader({ kid: 7 }),
  'a DPoP proof': await withHeader({ typ: 'dpop+jwt' }),
  'a logout token without a typ': await withClaims({
    events: { 'http://schemas.openid.net/event/backchannel-logout': {} },
  }),
  'RFC 9449 §7.2: a token bound to a key, without the proof': await withClaims({ cnf: { jkt: 'x' } }),
  'expired, and more than the tolerance ago': await withClaims({ exp: now - 31 }),
  'no expiry': await withClaims({ exp: undefined }),
  'an expiry that is no number': await withClaims({ exp: `${now + 600}` }),
  'not good yet': await withClaims({ nbf: now + 31 }),
  'no subject': await withClaims({ sub: undefined }),
  'an empty subject': await withClaims({ sub: '' }),
  'a subject that is no text': await withClaims({ sub: 7 }),
  'a subject that the database cannot hold': await withClaims({ sub: 'a\0b' }),
  'a subject that is half a character': await withClaims({ sub: 'a\ud800' }),
  'a subject that is too long': await withClaims({ sub: 'a'.repeat(256) }),
  'a claim repeated, the last one bad': repeated('"sub":"root"', 'last'),
  'a claim repeated, the first one bad': repeated('"sub":"root"', 'first'),
  'a claim changed': `${head}.${encode({ ...claims, sub: 'root' })}.${signature}`,
  'a header changed': `${encode({ ...header, typ: 'JWT' })}.${body}.${signature}`,
  'one bit of the signature': `${head}.${body}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
  'no signature': `${head}.${body}.`,
  'a payload that is no object': `${head}.${encode(['eyJ'])}.${signature}`,
  'a payload that is no JSON': `${head}.eyJhIjp9.${signature}`,
  'more than 12 KiB': await withClaims({ padding: 'x'.repeat(9 * 1024) }),
}

const tokens = '/v1/organizations/default/tokens'
for (const token of [good, ...Object.values(attacks)]) recordSecret(token)

t.test('unmodified tokens are accepted, so the rejections below are meaningful', async (t) => {
  for (const token of [
    good,
    await withHeader({ typ: 'JWT' }),
    await withHeader({ typ: 'at+jwt' }),
    await withHeader({ typ: 'application/at+jwt' }),
    await withClaims({ aud: ['https://other.example', audience] }),
    await withClaims({ exp: now - 29, nbf: now + 29 }),
    await withClaims({ padding: 'x'.repeat(8 * 1024) }),
  ])
    t.equal((await world.ask('GET', tokens, { token })).status, 200)
})

/** The response to a token, without the parts that differ in every response. */
async function refusalOf(token: string) {
  const { status, headers, body } = await world.ask('GET', tokens, { token })
  return { status, challenge: headers['www-authenticate'], body: { ...body, request_id: '' } }
}

for (const [attack, token] of Object.entries(attacks)) {
  t.test(`${attack}: rejected like a token that was never issued`, async (t) => {
    const refusal = await refusalOf(token)
    t.match(refusal, { status: 401, body: { code: 'invalid_token' } })
    t.match(refusal.challenge, /^Bearer realm="counterfoil", error="invalid_token"/)
    t.same(refusal, await refusalOf('never-issued'))
  })
}

t.test('the reason for rejecting a sign-in is in the log but not in the response', async (t) => {
  for (const [change, reason] of [
    [{ exp: now - 31 }, /"exp" claim/],
    [{ cnf: { jkt: 'x' } }, /bound to a key/],
    [{ sub: '' }, /no subject/],
    [{ events: {} }, /security event/],
  ] as const) {
    const token = await withClaims(change)
    recordSecret(token)
    const { headers } = await world.ask('GET', tokens, { token })
    t.same(await refusalOf(token), await refusalOf('never-issued'), String(reason))
    const [line = '{}'] = recordedLines(`"reqId":"${headers['x-request-id']}"`, 'rejected')
    t.match(JSON.parse(line), { msg: 'sign-in token rejected', reason })
  }
})

t.test('forged tokens of a known issuer do not trigger repeated fetches of its keys', async (t) => {
  const fetched = provider.calls.length
  for (let i = 0; i < 50; i++) {
    const token = await forged({ kid: `forged-${i}` })
    recordSecret(token)
    t.equal((await world.ask('GET', tokens, { token })).status, 401)
  }
  t.equal(provider.calls.length, fetched)
})

t.test('RFC 7519 §4: of a duplicate claim the last one counts everywhere', async (t) => {
  // Signed as it is, so that only the parsing is under test.
  const text = `{"iss":"https://evil.example","sub":"root",${JSON.stringify(claims).slice(1)}`
  const token = await provider.sign(text)
  const { body } = await world.ask('GET', tokens, { token })
  t.ok(body.items)
})

t.test('our own JWTs are never a sign-in, not even from an issuer with our URL', async (t) => {
  const body = { name: 'Ourselves', issuer: 'http://counterfoil.test', audience }
  const answer = await world.ask('POST', '/v1/organizations/default/issuers', { body })
  t.match(answer, { status: 422, body: { errors: [{ field: 'issuer' }] } })
  await world.ask('POST', '/v1/token-types', { body: { name: 'jwt', format: 'jwt', audience: [audience] } })
  const { id, secret } = await world.issue({ type: 'jwt', lifetime_days: 2 })
  t.equal((await world.ask('GET', '/v1/self', { token: secret })).status, 200)
  // As if it had been registered while PUBLIC_URL was different.
  await world.sql("update trusted_issuers set issuer = 'http://counterfoil.test' where issuer = $1", [
    other.issuer,
  ])
  await world.ask('POST', `${tokens}/${id}/revoke`)
  t.equal((await world.ask('GET', tokens, { token: secret })).status, 401)
})

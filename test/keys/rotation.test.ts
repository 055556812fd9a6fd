import { createLocalJWKSet, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from 'jose'
import t from 'tap'
import { maintainKeys, prepareKeys, rewrapKeys } from '../../src/keys/maintenance.ts'
import { newMasterKey, recordPrivateKeys } from '../support/master-key.ts'
import { createWorld, day, issuer, type World } from '../support/world.ts'

const minute = 60 * 1000
const hour = 60 * minute
const keys = '/v1/signing-keys'

async function newWorld(
  t: Parameters<typeof createWorld>[0],
  options: Parameters<typeof createWorld>[1] = {},
) {
  const world = await createWorld(t, options)
  await world.ask('POST', '/v1/token-types', { body: { name: 'jwt', format: 'jwt' } })
  return world
}
const states = async ({ ask }: World) => (await ask('GET', keys)).body.items.map((key: any) => key.state)
const kids = async ({ ask }: World) =>
  (await ask('GET', '/.well-known/jwks.json')).body.keys.map((key: any) => key.kid)
const signerOf = (secret: string) => decodeProtectedHeader(secret).kid
async function rotate(world: World, body?: object) {
  const answer = await world.ask('POST', `${keys}/rotate`, { body })
  await recordPrivateKeys(world.db, world.signing.masterKeys)
  return answer
}

t.test(
  'a new key is published before it signs, and the old one until its last token has expired',
  async (t) => {
    const world = await newWorld(t)
    const { secret, id } = await world.issue({ type: 'jwt', lifetime_days: 2 })
    const { status, body: next } = await rotate(world)
    t.match({ status, next }, { status: 201, next: { state: 'upcoming', live_tokens: 0, retires_at: null } })
    t.same(await states(world), ['active', 'upcoming'])
    t.same(await kids(world), [next.kid, signerOf(secret)])
    t.equal(signerOf((await world.issue({ type: 'jwt', lifetime_days: 1 })).secret), signerOf(secret))

    world.clock.now = new Date(next.activates_at)
    t.same(await states(world), ['retiring', 'active'])
    t.equal(signerOf((await world.issue({ type: 'jwt' })).secret), next.kid)

    world.clock.advance(2 * day - 2 * hour)
    await maintainKeys(world.db, world.signing, 0, world.clock.now)
    t.same(await states(world), ['retiring', 'active'], 'a token that it signed is still good')
    world.clock.advance(hour)
    t.same(await world.introspect(secret), { active: false }, 'the last one has expired')
    await maintainKeys(world.db, world.signing, 0, world.clock.now)
    t.same(await states(world), ['retired', 'active'])
    t.same(await kids(world), [next.kid])
    t.equal((await world.ask('GET', `/v1/organizations/default/tokens/${id}`)).status, 200)
  },
)

t.test(
  'a verifier that caches the JWKS for its maximum age sees no failure through two rotations',
  async (t) => {
    const world = await newWorld(t)
    const cached = { keys: { keys: [] } as JSONWebKeySet, until: 0 }
    // Never fetches keys again before the maximum age is over, not even for unknown keys.
    async function verify(secret: string) {
      if (world.clock.now.getTime() >= cached.until) {
        const { body, headers } = await world.ask('GET', '/.well-known/jwks.json', { token: '' })
        const maxAge = Number(/max-age=(\d+)/.exec(headers['cache-control'] ?? '')?.[1])
        cached.keys = body
        cached.until = world.clock.now.getTime() + maxAge * 1000
      }
      await jwtVerify(secret, createLocalJWKSet(cached.keys), { issuer, currentDate: world.clock.now })
    }
    const issued: string[] = []
    for (let minutes = 0; minutes < 260; minutes += 5) {
      if (minutes === 17 * 5 || minutes === 34 * 5) t.equal((await rotate(world)).status, 201)
      issued.push((await world.issue({ type: 'jwt', lifetime_days: 1 })).secret)
      await maintainKeys(world.db, world.signing, 0, world.clock.now)
      for (const secret of issued.filter((_, age) => age % 10 === 0 || age === issued.length - 1))
        await verify(secret)
      world.clock.advance(5 * minute)
    }
    t.equal(new Set(issued.map(signerOf)).size, 3)
  },
)

t.test('a second rotation waits for the first unless it is immediate', async (t) => {
  const world = await newWorld(t)
  const { body: next } = await rotate(world)
  t.match(await rotate(world), { status: 409, body: { code: 'rotation_pending' } })
  t.match(await rotate(world, { immediately: true }), {
    status: 201,
    body: { kid: next.kid, state: 'active' },
  })
  t.equal(signerOf((await world.issue({ type: 'jwt' })).secret), next.kid)
  const { body: other } = await rotate(world, { immediately: true })
  t.equal(signerOf((await world.issue({ type: 'jwt' })).secret), other.kid)
  t.same(await states(world), ['retiring', 'retiring', 'active'])
})

t.test('of concurrent rotations one succeeds', async (t) => {
  const world = await newWorld(t)
  const answers = await Promise.all(Array.from({ length: 5 }, () => rotate(world)))
  t.same(answers.map(({ status }) => status).sort(), [201, 409, 409, 409, 409])
  t.same(await states(world), ['active', 'upcoming'])
})

t.test(
  'retiring a key reports how many tokens stop verifying; they still introspect as active',
  async (t) => {
    const world = await newWorld(t)
    const { secret } = await world.issue({ type: 'jwt' })
    const revoked = await world.issue({ type: 'jwt' })
    await world.issue({ type: 'jwt' })
    await world.ask('POST', `/v1/organizations/default/tokens/${revoked.id}/revoke`)
    const kid = signerOf(secret)
    const retire = () => world.ask('POST', `${keys}/${kid}/retire`)
    t.match(await retire(), { status: 409, body: { code: 'in_use' } }, 'while it signs')
    const { body: next } = await rotate(world, { immediately: true })
    t.match(await retire(), { status: 200, body: { state: 'retired', tokens_affected: 2 } })
    t.match(await retire(), { status: 200, body: { tokens_affected: 0 } }, 'a second time changes nothing')
    t.same(await kids(world), [next.kid])
    t.match(await world.introspect(secret), { active: true })
    const row = await world.db
      .selectFrom('signingKeys')
      .selectAll()
      .where('kid', '=', `${kid}`)
      .executeTakeFirst()
    t.equal(row?.sealedPrivateJwk, null)
    const { body } = await world.ask('GET', '/v1/organizations/platform/audit-events?limit=2')
    t.match(body.items, [
      { action: 'signing_key.retired', target: { type: 'signing_key', id: kid } },
      { action: 'signing_key.rotated', changes: { before: { kid }, after: { kid: next.kid } } },
    ])
  },
)

t.test('an upcoming key cannot be retired, and an unknown one is a 404', async (t) => {
  const world = await newWorld(t)
  const { body } = await rotate(world)
  t.match(await world.ask('POST', `${keys}/${body.kid}/retire`), { status: 409, body: { code: 'in_use' } })
  t.equal((await world.ask('POST', `${keys}/${'x'.repeat(43)}/retire`)).status, 404)
  t.equal((await world.ask('POST', `${keys}/short/retire`)).status, 400)
})

t.test('signing keys are for platform administrators', async (t) => {
  const world = await newWorld(t)
  const manager = await world.manager(['tokens:write', 'audit:read'])
  const calls = [
    ['GET', keys],
    ['POST', `${keys}/rotate`],
    ['POST', `${keys}/${'x'.repeat(43)}/retire`],
  ] as const
  for (const [method, url] of calls) {
    t.equal((await world.ask(method, url, { token: manager })).status, 403, url)
    t.equal((await world.ask(method, url, { token: '' })).status, 401, url)
  }
})

t.test('the schedule rotates an old key once, however many instances there are', async (t) => {
  const world = await newWorld(t)
  const care = () => maintainKeys(world.db, world.signing, 30, world.clock.now)
  world.clock.advance(30 * day - 1)
  await care()
  t.same(await states(world), ['active'])
  world.clock.advance(1)
  await Promise.all([care(), care(), care()])
  t.same(await states(world), ['active', 'upcoming'])
  await recordPrivateKeys(world.db, world.signing.masterKeys)
  await maintainKeys(world.db, world.signing, 0, new Date(world.clock.now.getTime() + 400 * day))
  t.equal((await states(world)).length, 2, 'with 0 it never does')
})

t.test('a private key is deleted once it no longer signs, while its tokens are still good', async (t) => {
  const world = await newWorld(t)
  const { secret } = await world.issue({ type: 'jwt', expires_at: null })
  await rotate(world)
  world.clock.advance(2 * hour)
  await maintainKeys(world.db, world.signing, 0, world.clock.now)
  const rows = await world.db
    .selectFrom('signingKeys')
    .select('sealedPrivateJwk')
    .orderBy('activatesAt')
    .execute()
  t.same(
    rows.map(({ sealedPrivateJwk }) => sealedPrivateJwk !== null),
    [false, true],
  )
  t.same(await states(world), ['retiring', 'active'])
  t.ok((await kids(world)).includes(signerOf(secret)))
})

t.test('a new algorithm applies to the next key, and tokens of both verify', async (t) => {
  const world = await newWorld(t)
  const before = (await world.issue({ type: 'jwt' })).secret
  Object.assign(world.signing, { alg: 'ES256' })
  await rotate(world, { immediately: true })
  const after = (await world.issue({ type: 'jwt' })).secret
  t.same(
    [before, after].map((jwt) => decodeProtectedHeader(jwt).alg),
    ['EdDSA', 'ES256'],
  )
  const set = createLocalJWKSet((await world.ask('GET', '/.well-known/jwks.json')).body)
  for (const jwt of [before, after]) await jwtVerify(jwt, set, { currentDate: world.clock.now })
})

t.test(
  'after rewrap under a new master key, the keys still sign and the old master key opens none',
  async (t) => {
    const world = await newWorld(t)
    await rotate(world)
    const old = world.signing.masterKeys
    const alg = 'EdDSA'
    const next = { masterKeys: [newMasterKey(), ...old], alg } as const
    await prepareKeys(world.db, next, world.clock.now)
    t.equal(await rewrapKeys(world.db, next, world.clock.now), 2)
    await prepareKeys(world.db, { masterKeys: next.masterKeys.slice(0, 1), alg }, world.clock.now)
    await t.rejects(
      prepareKeys(world.db, { masterKeys: old, alg }, world.clock.now),
      /MASTER_KEY does not open/,
    )
    await t.rejects(
      rewrapKeys(world.db, { masterKeys: [newMasterKey()], alg }, world.clock.now),
      /MASTER_KEY_PREVIOUS/,
    )
    const answer = await world.ask('POST', '/v1/organizations/default/tokens', {
      body: { name: 'X', type: 'jwt' },
    })
    t.match(answer, { status: 503, body: { code: 'unavailable' } }, 'an instance that has the old one alone')
  },
)

t.test('a sealed key that is moved to another row does not open', async (t) => {
  const world = await newWorld(t)
  await rotate(world)
  const [first, second] = await world.db
    .selectFrom('signingKeys')
    .selectAll()
    .orderBy('activatesAt')
    .execute()
  await world.db
    .updateTable('signingKeys')
    .set({ sealedPrivateJwk: JSON.stringify(second?.sealedPrivateJwk) })
    .where('kid', '=', first?.kid ?? '')
    .execute()
  await t.rejects(prepareKeys(world.db, world.signing, world.clock.now), /MASTER_KEY does not open/)
})

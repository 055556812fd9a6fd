import { decodeProtectedHeader } from 'jose'
import t from 'tap'
import { compose } from '../../src/compose.ts'
import { createDb } from '../../src/db/database.ts'
import { readCursorKey } from '../../src/db/installation.ts'
import { createLogger } from '../../src/http/log.ts'
import { recordPrivateKeys } from '../support/master-key.ts'
import { recordLog } from '../support/records.ts'
import { createWorld, issuer } from '../support/world.ts'

const minute = 60 * 1000
const world = await createWorld(t)
const db = createDb({ url: world.databaseUrl, poolSize: 2 })
const log = createLogger('trace', { write: recordLog })
const lag = { ms: 0 }
const onError = (err: Error) => log.warn({ err }, 'database connection lost')
const { app: other, close } = await compose({
  db,
  databaseUrl: world.databaseUrl,
  log,
  onError,
  issuer,
  signing: world.signing,
  trustProxy: [],
  corsOrigins: [],
  cursorKey: await readCursorKey(db),
  staticSecret: undefined,
  now: () => new Date(world.clock.now.getTime() - lag.ms),
  verifier: { cacheSize: 0 },
  flushEvery: () => () => {},
  outbound: { allow: [] },
})
t.teardown(async () => {
  await other.close()
  await close()
  await db.destroy()
})

const headers = { authorization: `Bearer ${world.admin}` }
await world.ask('POST', '/v1/token-types', { body: { name: 'jwt', format: 'jwt' } })

async function signers() {
  const payload = { name: 'There', type: 'jwt' }
  const url = '/v1/organizations/default/tokens'
  const there = (await other.inject({ method: 'POST', url, headers, payload })).json()
  const here = await world.issue({ type: 'jwt' })
  t.match(await world.introspect(there.secret), { active: true })
  return [here, there].map(({ secret }) => decodeProtectedHeader(secret).kid)
}

t.test('two instances sign with the same key, before and after it is rotated by one of them', async (t) => {
  const [first] = await signers()
  t.same(await signers(), [first, first])
  const answer = await other.inject({ method: 'POST', url: '/v1/signing-keys/rotate', headers })
  await recordPrivateKeys(db, world.signing.masterKeys)
  const { kid, activates_at } = answer.json()
  t.same(await signers(), [first, first])
  world.clock.now = new Date(activates_at)
  t.same(await signers(), [kid, kid])
})

t.test(
  'an instance whose clock is behind keeps signing by its own clock, even after a retirement',
  async (t) => {
    world.clock.advance(60 * minute)
    lag.ms = 5 * minute
    const [first] = await signers()
    const { body } = await world.ask('POST', '/v1/signing-keys/rotate', { body: { immediately: true } })
    await recordPrivateKeys(db, world.signing.masterKeys)
    t.same(await signers(), [body.kid, first])
    t.equal((await world.ask('POST', `/v1/signing-keys/${first}/retire`)).status, 200)
    t.same(await signers(), [body.kid, body.kid])
  },
)

t.test('both publish the same keys under the same ETag', async (t) => {
  const url = '/.well-known/jwks.json'
  const there = await other.inject({ url })
  const here = await world.ask('GET', url)
  t.same(there.json(), here.body)
  t.equal(there.headers.etag, here.headers.etag)
})

t.test('a token that is being signed while its key is retired is counted', async (t) => {
  const { secret } = await world.issue({ type: 'jwt' })
  const kid = decodeProtectedHeader(secret).kid
  await world.ask('POST', '/v1/signing-keys/rotate', { body: { immediately: true } })
  await recordPrivateKeys(db, world.signing.masterKeys)
  // By its clock, this instance still signs with the old key.
  const payload = { name: 'Late', type: 'jwt' }
  const url = '/v1/organizations/default/tokens'
  const [retired, ...issued] = await Promise.all([
    world.ask('POST', `/v1/signing-keys/${kid}/retire`),
    ...Array.from({ length: 5 }, () => other.inject({ method: 'POST', url, headers, payload })),
  ])
  const stillOld = issued.filter((answer) => decodeProtectedHeader(answer.json().secret).kid === kid)
  const { items } = (await world.ask('GET', '/v1/signing-keys')).body
  t.equal(retired.status, 200)
  t.ok(retired.body.tokens_affected >= 1 + stillOld.length)
  t.equal(items.find((key: any) => key.kid === kid).live_tokens, retired.body.tokens_affected)
})

import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { createDb } from '../../src/db/database.ts'
import { prepareKeys } from '../../src/keys/maintenance.ts'
import { parseMasterKey } from '../../src/keys/master-key.ts'
import { createSequencer } from '../../src/transparency-log/sequencer.ts'
import { listen, startTransmitter } from '../signals/transmitter.ts'
import { failureOf, resultOf } from '../support/command.ts'
import { cloneDatabase } from '../support/database.ts'
import { recordPrivateKeys } from '../support/master-key.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld } from '../support/world.ts'
import { startReceiver, verifies } from '../webhooks/receiver.ts'

const url = await cloneDatabase()
const db = createDb({ url, poolSize: 1 })
t.teardown(() => db.destroy())
const [first = '', second = ''] = ['base64', 'hex'].map((encoding) =>
  randomBytes(32).toString(encoding as 'base64'),
)
for (const masterKey of [first, second]) recordSecret(masterKey)
const signing = (masterKey: string) => ({ masterKeys: [parseMasterKey(masterKey)], alg: 'EdDSA' as const })

/** Runs the command with these variables in addition to the database's. */
async function succeeds(t: Test, command: string, env: Record<string, string>, says: RegExp) {
  const ended = await resultOf(command.split(' '), { DATABASE_URL: url, ...env })
  t.match(ended, { code: 0, output: says })
}

const fails = (command: string, env: Record<string, string>) =>
  failureOf(command.split(' '), { DATABASE_URL: url, ...env })

t.test('rotate-keys publishes a new key', async (t) => {
  await prepareKeys(db, signing(first), new Date())
  const published = /^The key [\w-]{43} is published; it signs from \d{4}-.*Z on\.\n$/
  await succeeds(t, 'rotate-keys', { MASTER_KEY: first, SIGNING_ALG: 'ES256' }, published)
  const keys = await db.selectFrom('signingKeys').select('alg').orderBy('activatesAt').execute()
  t.same(keys, [{ alg: 'EdDSA' }, { alg: 'ES256' }])
  t.match(await fails('rotate-keys', { MASTER_KEY: first }), { code: 78, message: /takes over at/ })
})

t.test('rewrap seals all keys under the new master key, and needs the old one for that', async (t) => {
  await recordPrivateKeys(db, [parseMasterKey(first)])
  const allowed = { outbound: { allow: ['127.0.0.1'] }, databaseUrl: url }
  const before = await createWorld(t, { ...allowed, signing: signing(first) })
  before.clock.now = new Date()
  const receiver = await startReceiver(t)
  const webhooks = '/v1/organizations/default/webhooks'
  const hook = { url: receiver.url, events: ['token.created'] }
  const { body: webhook } = await before.ask('POST', webhooks, { body: hook })
  const { body: rotated } = await before.ask('POST', `${webhooks}/${webhook.id}/rotate-secret`, { body: {} })
  const transmitter = await startTransmitter(t, () => before.clock.now)
  transmitter.authorization = 'Bearer credential-for-polling'
  const polling = { poll_url: transmitter.pollUrl, poll_authorization: transmitter.authorization }
  const { path } = await listen(before, transmitter, polling)

  await before.sequencer.flush()
  t.match(await fails('rewrap', { MASTER_KEY: second }), { code: 78, message: /MASTER_KEY_PREVIOUS/ })
  await succeeds(
    t,
    'rewrap',
    { MASTER_KEY: second, MASTER_KEY_PREVIOUS: first },
    /^Resealed: 2 signing keys, 2 webhook secrets, 1 credentials for polling, 0 client secrets and 1 log keys\./,
  )
  await prepareKeys(db, signing(second), new Date())
  const after = await createWorld(t, { ...allowed, signing: signing(second) })
  after.clock.now = before.clock.now
  await before.issue()
  await after.dispatcher.flush()
  const [message] = receiver.messages
  for (const { secret } of [webhook, rotated])
    t.ok(message && verifies(message, secret), 'both secrets of a webhook still sign')
  await after.signals.poll()
  t.match((await before.ask('GET', path)).body, { polled_at: String, poll_error: null })
  await t.rejects(prepareKeys(db, signing(first), new Date()), /does not open/)
})

t.test('after losing the master key, another one with new keys can be used', async (t) => {
  const { publicKey: logKey } = await db.selectFrom('logState').selectAll().executeTakeFirstOrThrow()
  const third = randomBytes(32).toString('base64')
  recordSecret(third)
  // The first time, the upcoming key signs at once, which the lost master key had sealed as well.
  for (const _ of ['upcoming', 'new'])
    await succeeds(t, 'rotate-keys --immediately', { MASTER_KEY: third }, /published/)
  await prepareKeys(db, signing(third), new Date())
  const context = { origin: 'another', now: () => new Date(), every: () => () => {}, onError: t.fail }
  await createSequencer(db, {
    ...context,
    signing: signing(third),
    log: { error: (facts) => t.fail('not signed', facts) },
  }).flush()
  const { origin, publicKey } = await db.selectFrom('logState').selectAll().executeTakeFirstOrThrow()
  t.ok(publicKey && !logKey?.equals(publicKey), 'a new key signs the transparency log')
  t.equal(origin, 'counterfoil.test/v1/transparency-log')
  t.match(await fails('migrate --immediately', {}), { code: 64, message: /not an option of migrate/ })
})

t.test('without a good master key the commands say what is missing', async (t) => {
  t.match(await fails('rotate-keys', {}), { code: 78, message: /MASTER_KEY/ })
  t.match(await fails('rewrap', { MASTER_KEY: 'too short' }), { code: 78, message: /MASTER_KEY/ })
  t.match(await fails('rewrap', { MASTER_KEY_PREVIOUS: first }), {
    code: 78,
    message: /set without MASTER_KEY/,
  })
  t.match(await fails('serve', { MASTER_KEY: first, ADMIN_TOKEN: 'x'.repeat(32), PORT: '1' }), {
    code: 78,
    message: /MASTER_KEY does not open/,
  })
})

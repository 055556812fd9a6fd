import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { createDb } from '../../src/db/database.ts'
import { prepareKeys } from '../../src/keys/maintenance.ts'
import { parseMasterKey } from '../../src/keys/master-key.ts'
import { failureOf } from '../support/command.ts'
import { cloneDatabase } from '../support/database.ts'
import { recordPrivateKeys } from '../support/master-key.ts'
import { run } from '../support/process.ts'
import { recordSecret } from '../support/records.ts'

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
  const ended = run(t, command.split(' '), { DATABASE_URL: url, ...env })
  t.match(await ended.exit, { code: 0 })
  t.match(ended.output(), says)
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
  t.match(await fails('rewrap', { MASTER_KEY: second }), { code: 78, message: /MASTER_KEY_PREVIOUS/ })
  await succeeds(
    t,
    'rewrap',
    { MASTER_KEY: second, MASTER_KEY_PREVIOUS: first },
    /^Signing keys resealed: 2\./,
  )
  await prepareKeys(db, signing(second), new Date())
  await t.rejects(prepareKeys(db, signing(first), new Date()), /does not open/)
})

t.test('after losing the master key, another one with new keys can be used', async (t) => {
  const third = randomBytes(32).toString('base64')
  recordSecret(third)
  // The first time, the upcoming key signs at once, which the lost master key had sealed as well.
  for (const _ of ['upcoming', 'new'])
    await succeeds(t, 'rotate-keys --immediately', { MASTER_KEY: third }, /published/)
  await prepareKeys(db, signing(third), new Date())
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

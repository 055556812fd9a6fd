import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { createDb } from '../../src/db/database.ts'
import { prepareKeys } from '../../src/keys/maintenance.ts'
import { parseMasterKey } from '../../src/keys/master-key.ts'
import { cloneDatabase } from '../support/database.ts'
import { recordPrivateKeys } from '../support/master-key.ts'
import { recordLog, recordSecret } from '../support/records.ts'

const server = new URL('../../src/server.ts', import.meta.url).pathname
const url = await cloneDatabase()
const db = createDb({ url, poolSize: 1 })
t.teardown(() => db.destroy())
const [first = '', second = ''] = ['base64', 'hex'].map((encoding) =>
  randomBytes(32).toString(encoding as 'base64'),
)
for (const masterKey of [first, second]) recordSecret(masterKey)
const signing = (masterKey: string) => ({ masterKeys: [parseMasterKey(masterKey)], alg: 'EdDSA' as const })

/** Runs `counterfoil <command>` with these variables in addition to the database's. */
async function run(command: string, env: Record<string, string>) {
  const child = spawn(process.execPath, [server, ...command.split(' ')], {
    env: { DATABASE_URL: url, ...env },
  })
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  recordLog(out + err)
  return { code, out, err }
}

t.test('rotate-keys publishes a new key', async (t) => {
  await prepareKeys(db, signing(first), new Date())
  t.match(await run('rotate-keys', { MASTER_KEY: first, SIGNING_ALG: 'ES256' }), {
    code: 0,
    out: /^The key [\w-]{43} is published; it signs from \d{4}-.*Z on\.\n$/,
  })
  const keys = await db.selectFrom('signingKeys').select('alg').orderBy('activatesAt').execute()
  t.same(keys, [{ alg: 'EdDSA' }, { alg: 'ES256' }])
  t.match(await run('rotate-keys', { MASTER_KEY: first }), { code: 78, err: /takes over at/ })
})

t.test('rewrap seals all keys under the new master key, and needs the old one for that', async (t) => {
  await recordPrivateKeys(db, [parseMasterKey(first)])
  t.match(await run('rewrap', { MASTER_KEY: second }), { code: 78, err: /MASTER_KEY_PREVIOUS/ })
  t.match(await run('rewrap', { MASTER_KEY: second, MASTER_KEY_PREVIOUS: first }), {
    code: 0,
    out: /^Signing keys resealed: 2\./,
  })
  await prepareKeys(db, signing(second), new Date())
  await t.rejects(prepareKeys(db, signing(first), new Date()), /does not open/)
})

t.test('after losing the master key, another one with new keys can be used', async (t) => {
  const third = randomBytes(32).toString('base64')
  recordSecret(third)
  // The first time, the upcoming key signs at once, which the lost master key had sealed as well.
  for (const _ of ['upcoming', 'new'])
    t.match(await run('rotate-keys --immediately', { MASTER_KEY: third }), { code: 0 })
  await prepareKeys(db, signing(third), new Date())
  t.match(await run('migrate --immediately', {}), { code: 64, err: /not an option of migrate/ })
})

t.test('without a good master key the commands say what is missing', async (t) => {
  t.match(await run('rotate-keys', {}), { code: 78, err: /MASTER_KEY/ })
  t.match(await run('rewrap', { MASTER_KEY: 'too short' }), { code: 78, err: /MASTER_KEY/ })
  t.match(await run('rewrap', { MASTER_KEY_PREVIOUS: first }), { code: 78, err: /set without MASTER_KEY/ })
  t.match(await run('serve', { MASTER_KEY: first, ADMIN_TOKEN: 'x'.repeat(32), PORT: '1' }), {
    code: 78,
    err: /MASTER_KEY does not open/,
  })
})

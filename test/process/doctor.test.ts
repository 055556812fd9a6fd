import { randomBytes } from 'node:crypto'
import t from 'tap'
import { createDb } from '../../src/db/database.ts'
import { checkNames, diagnose, type Finding } from '../../src/doctor.ts'
import { prepareKeys } from '../../src/keys/maintenance.ts'
import { parseMasterKey } from '../../src/keys/master-key.ts'
import { startSmtp } from '../mail/smtp.ts'
import { resultOf } from '../support/command.ts'
import {
  cloneDatabase,
  createDatabaseWithServiceRole,
  createEmptyDatabase,
  execute,
} from '../support/database.ts'
import { recordPrivateKeys } from '../support/master-key.ts'
import { run } from '../support/process.ts'
import { recordSecret } from '../support/records.ts'

const { owner, role, service } = await createDatabaseWithServiceRole()
const masterKey = randomBytes(32).toString('base64')
recordSecret(masterKey)
const db = createDb({ url: owner, poolSize: 1 })
t.teardown(() => db.destroy())
await prepareKeys(db, { masterKeys: [parseMasterKey(masterKey)], alg: 'EdDSA' }, new Date())
await recordPrivateKeys(db, [parseMasterKey(masterKey)])
const smtp = await startSmtp(t)

const mail = (password: string) => ({
  SMTP_URL: smtp.url.replace('//', `//counterfoil:${password}@`),
  MAIL_FROM: 'tokens@example.com',
})
const good = { DATABASE_URL: service, MASTER_KEY: masterKey, ...mail('smtp-password') }

async function findings(env: Record<string, string>, now = Date.now): Promise<Finding[]> {
  const all: Finding[] = []
  const options = {
    shutdown: new AbortController().signal,
    now,
    report: (one: Finding) => void all.push(one),
  }
  await diagnose({ ...good, ...env }, options)
  return all
}

t.test('every check passes where nothing is wrong', async (t) => {
  const found = await findings({})
  t.same(
    found.map(({ check, status, detail }) => [check, status, status === 'ok' ? '' : detail]),
    checkNames.map((name) => [name, 'ok', '']),
  )
})

t.test('a check fails, or warns, for what is wrong, and only that check', async (t) => {
  const faults: {
    check: string
    env?: Record<string, string>
    now?: () => number
    sql?: [string, string]
    finds: object
  }[] = [
    {
      check: 'privileges',
      sql: [`revoke insert on audit_events from ${role}`, `grant insert on audit_events to ${role}`],
      finds: { status: 'failed', detail: /grant insert on table audit_events to/ },
    },
    {
      check: 'lease',
      // Notifications stay within a database.
      env: { DATABASE_LISTEN_URL: await cloneDatabase() },
      finds: { status: 'failed', detail: /DATABASE_LISTEN_URL/ },
    },
    { check: 'clock', now: () => Date.now() - 5_000, finds: { status: 'failed', detail: /ms ahead.*NTP/ } },
    { check: 'clock', now: () => Date.now() + 5_000, finds: { status: 'failed', detail: /ms behind/ } },
    {
      check: 'keys',
      env: { MASTER_KEY: Buffer.alloc(32, 1).toString('base64') },
      finds: { status: 'failed', detail: /MASTER_KEY does not open the signing key/ },
    },
    { check: 'mail', env: mail('wrong-password'), finds: { status: 'failed', detail: /: EAUTH 535\.$/ } },
    {
      check: 'webhooks',
      sql: [
        `insert into webhooks (organization_id, id, url, signature, sealed_secret, failing_since, created_at, updated_at)
           select id, gen_random_uuid(), 'https://hooks.example', 'hmac', '{}', now(), now(), now() from organizations limit 1`,
        'delete from webhooks',
      ],
      finds: { status: 'warning', detail: /^1 of 1 webhooks fail/ },
    },
  ]
  for (const { check, env = {}, now, sql, finds } of faults) {
    if (sql) await execute(owner, sql[0])
    const found = await findings(env, now)
    if (sql) await execute(owner, sql[1])
    t.match(
      found.find((one) => one.check === check),
      finds,
      check,
    )
    // With a pooler's URL there is advice about the limits of the role.
    const others = found.filter(
      (one) => one.check !== check && one.status !== 'ok' && !env.DATABASE_LISTEN_URL,
    )
    t.same(others, [], `only ${check}`)
  }
})

t.test('without a database, what needs it is skipped', async (t) => {
  const unusable = {
    'postgres://nobody@127.0.0.1:1/nothing': /cannot be reached/,
    [await createEmptyDatabase()]: /lacks 0001-foundation.*counterfoil migrate/,
  }
  for (const [url, detail] of Object.entries(unusable)) {
    const found = await findings({ DATABASE_URL: url })
    t.same(
      found.map(({ check }) => check),
      checkNames,
    )
    t.match(found[1], { status: 'failed', detail })
    t.same(
      found.filter(({ status }) => status === 'skipped').map(({ check }) => check),
      ['privileges', 'lease', 'clock', 'keys', 'webhooks'],
    )
  }
})

t.test('the command prints a line for each check and ends with 1 if one failed', async (t) => {
  const fine = /^ok {7}configuration {2}The .*\nok {7}database {7}PostgreSQL/
  t.match(await resultOf(['doctor'], good), { code: 0, output: fine })
  const wrong = run(t, ['doctor', '--json'], { ...good, PORT: 'eighty' })
  t.match(await wrong.exit, { code: 1 })
  t.match(JSON.parse(wrong.output()), { check: 'configuration', status: 'failed', detail: /^PORT/ })
})

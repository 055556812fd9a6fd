// `counterfoil apply` on the database itself, with and without a running service.
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { apply, type Step } from '../../src/apply/apply.ts'
import { readConfig } from '../../src/config.ts'
import { openDirectly } from '../../src/direct.ts'
import { createLogger } from '../../src/http/log.ts'
import { failureOf, resultOf } from '../support/command.ts'
import { createEmptyDatabase } from '../support/database.ts'
import { newDirectory, preparedDirectory } from '../support/embedded.ts'
import { recordLog, recordSecret } from '../support/records.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const folder = await mkdtemp(join(tmpdir(), 'counterfoil-direct-'))
t.teardown(() => rm(folder, { recursive: true }))

const webhook = 'https://hooks.example/all'
const configuration = {
  token_types: [{ name: 'direct', prefix: 'drc' }],
  organizations: [
    {
      key: 'direct',
      name: 'Direct',
      policy: { allowed_types: ['direct'] },
      webhooks: [{ url: webhook }],
    },
  ],
}
const file = join(folder, 'direct.yaml')
await writeFile(file, JSON.stringify(configuration))

function direct(dryRun: boolean) {
  const { db, databaseUrl: url } = world
  const config = { ...readConfig({ DATABASE_URL: url }), masterKeys: [...world.signing.masterKeys] }
  const rest = { superviseServer: async () => {}, stopServer: async () => {}, close: async () => {} }
  const database = { db, url, ownerUrl: url, prepares: true, embedded: false, ...rest }
  return openDirectly(database, config, {
    command: 'apply',
    dryRun,
    log: createLogger('error', { write: recordLog }),
  })
}

async function applyDirectly(wanted: object, dryRun = false) {
  const { api, close } = await direct(dryRun)
  const steps: Step[] = []
  const keepSecret = (kept?: { secret: string }) => kept && recordSecret(kept.secret)
  const options = { dryRun, onStep: (step: Step) => steps.push(step), keepSecret }
  await apply(api, wanted, options).finally(close)
  return steps.map(({ action, resource }) => `${action} ${resource}`)
}

/** Every row of the database, as one value for each table. */
async function rows(): Promise<Record<string, string>> {
  const tables = await world.sql("select tablename from pg_tables where schemaname = 'public' order by 1")
  const contents = tables.rows.map(async ({ tablename }) => {
    const text = `select coalesce(string_agg(t::text, E'\\n' order by t::text), '') as text from "${tablename}" t`
    return [tablename, (await world.sql(text)).rows[0].text]
  })
  return Object.fromEntries(await Promise.all(contents))
}

const changedTables = (before: Record<string, string>, after: Record<string, string>) =>
  Object.keys(after).filter((name) => before[name] !== after[name])

t.test('a dry run on the database shows the difference and changes no row', async (t) => {
  const before = await rows()
  t.same(await applyDirectly(configuration, true), [
    'create token type direct',
    'create organization direct',
    'change policy of direct',
    'create webhook https://hooks.example of direct',
  ])
  t.same(changedTables(before, await rows()), [])
})

t.test('apply on the database needs no credential, leaves none, and says who made the change', async (t) => {
  const before = await rows()
  t.equal((await applyDirectly(configuration)).length, 4)
  const changed = changedTables(before, await rows())
  t.same(changed, ['audit_events', 'log_queue', 'organizations', 'token_types', 'webhooks'])
  const { body } = await world.ask('GET', '/v1/organizations/direct/audit-events')
  t.same(
    body.items.map(({ action }: { action: string }) => action),
    ['webhook.created', 'policy.updated'],
  )
  for (const { actor, ip, request_id } of body.items) {
    t.same(actor, { type: 'system', id: 'apply', name: 'counterfoil apply' })
    t.equal(ip, null)
    t.ok(request_id)
  }
  t.same(await applyDirectly(configuration), [], 'a second run finds nothing to change')
})

t.test('a running service knows at once what apply changed in its database', async (t) => {
  const { secret } = await world.issue({ type: 'direct' }, 'direct')
  const self = () => world.ask('GET', '/v1/self', { token: secret })
  t.match(await self(), { status: 200, body: { scopes: [] } })
  await applyDirectly({ token_types: [{ name: 'direct', endpoint: 'https://api.example/' }] })
  t.match(await self(), { status: 200, body: { endpoint: 'https://api.example/' } })
})

t.test('what the service rejects, apply on the database rejects in the same words', async (t) => {
  const wrong = {
    organizations: [{ key: 'direct', name: 'Direct', policy: { allowed_types: ['nonesuch'] } }],
  }
  const before = await rows()
  await t.rejects(applyDirectly(wrong), { message: /^PATCH .+\/policy: 422 .+nonesuch/ })
  t.same(changedTables(before, await rows()), [])
})

t.test('the application of a command serves nothing over a socket', async (t) => {
  const { app } = await createWorld(t, { command: 'apply' })
  const types = { method: 'GET', url: '/v1/token-types' } as const
  t.equal((await app.inject(types)).statusCode, 200)
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  t.equal((await fetch(`${url}/v1/token-types`)).status, 401)
  t.equal((await app.inject(types)).statusCode, 401)
})

const command = (args: string[], env: Record<string, string>) => resultOf(['apply', file, ...args], env)

t.test('the command sets up an empty database, and writes secrets of webhooks to a file', async (t) => {
  const adminToken = 'an-administrator-token-of-the-apply-tests'
  const env = {
    DATABASE_URL: await createEmptyDatabase(),
    ADMIN_TOKEN: adminToken,
    MASTER_KEY: 'ab'.repeat(32),
  }
  recordSecret(env.MASTER_KEY)
  const early = await failureOf(['apply', file, '--dry-run'], env)
  t.match(early, { code: 78, message: /^The database lacks 0001-foundation.+run counterfoil migrate/ })
  const secretsFile = join(folder, 'secrets')
  const { code, output } = await command(['--secrets-file', secretsFile], env)
  t.equal(code, 0, output)
  const { secret, ...more } = JSON.parse(await readFile(secretsFile, 'utf8'))
  recordSecret(secret)
  t.match(more, { organization: 'direct', url: webhook })
  t.equal((await stat(secretsFile)).mode & 0o777, 0o600)
  t.notOk(output.includes(secret))
})

t.test('the command uses the embedded database of a service that is stopped', async (t) => {
  const dataDir = await preparedDirectory(t)
  const { code, output } = await command(['--dry-run'], { DATA_DIR: dataDir })
  t.equal(code, 0, output)
  t.match(output, /^create token type direct\n/)
  t.match(output, /\nNothing was changed: this was a dry run\.\n$/)
})

t.test('a dry run does not create the embedded database', async (t) => {
  const dataDir = await newDirectory(t)
  const failure = await failureOf(['apply', file, '--dry-run'], { DATA_DIR: dataDir })
  t.match(failure, { code: 78, message: /There is no database in/ })
  t.notOk(existsSync(dataDir))
})

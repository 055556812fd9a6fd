import { readFile } from 'node:fs/promises'
import t from 'tap'
import { adminTokenPath } from '../../src/admin-token.ts'
import { bootstrap } from '../../src/bootstrap.ts'
import { createDb } from '../../src/db/database.ts'
import { startEmbedded } from '../../src/embedded-postgres/installation.ts'
import { generateSecret } from '../../src/shared/secret.ts'
import { failureOf, resultOf } from '../support/command.ts'
import { cloneDatabase, createEmptyDatabase } from '../support/database.ts'
import { preparedDirectory } from '../support/embedded.ts'
import { run } from '../support/process.ts'
import { createWorld } from '../support/world.ts'

t.test('admin-token creates an administrator, whatever the policy says, and records it', async (t) => {
  const world = await createWorld(t)
  const { etag = '' } = (await world.ask('GET', '/v1/organizations/platform/policy')).headers
  const strict = {
    lifetime: { allow_no_expiry: false, maximum_days: 1 },
    limits: { active_per_organization: 1 },
    name: { minimum_length: 100 },
  }
  const changed = await world.ask('PATCH', '/v1/organizations/platform/policy', {
    headers: { 'if-match': etag },
    body: strict,
  })
  t.equal(changed.status, 200, changed.text)
  const { code, output } = await resultOf(['admin-token', '--json'], { DATABASE_URL: world.databaseUrl })
  t.equal(code, 0, output)
  const { id, secret } = JSON.parse(output)
  const self = await world.ask('GET', '/v1/self', { token: secret })
  t.match(self, { status: 200, body: { id, scopes: ['platform:admin'], expires_at: null } })
  const log = await world.ask('GET', `/v1/organizations/platform/audit-events?target=${id}`, {
    token: secret,
  })
  t.match(log.body.items, [{ action: 'token.created', actor: { type: 'system', id: 'cli' } }])
})

t.test('beside the embedded database, the new token replaces the stored one', async (t) => {
  const directory = await preparedDirectory(t)
  const server = await startEmbedded(directory)
  const db = createDb({ url: server.url, poolSize: 1 })
  await bootstrap(db, new Date(), generateSecret('cfm'), { withExamples: false })
  await db.destroy()
  await server.stop()
  const command = run(t, ['admin-token'], { DATA_DIR: directory })
  t.match(await command.exit, { code: 0 }, command.output())
  t.match(command.output(), /^cfm_\w+\n$/, 'nothing but the token')
  t.equal(await readFile(adminTokenPath(directory), 'utf8'), command.output())
})

t.test('a database without an administrator gets its first one from the start', async (t) => {
  const fails = async (url: string) => failureOf(['admin-token'], { DATABASE_URL: url })
  t.match(await fails(await createEmptyDatabase()), { code: 78, message: /counterfoil migrate/ })
  t.match(await fails(await cloneDatabase()), { code: 78, message: /set ADMIN_TOKEN/ })
})

import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import manifest from '../../package.json' with { type: 'json' }
import { createDb } from '../../src/db/database.ts'
import { Secret } from '../../src/shared/secret.ts'
import { staticSecretWarnings } from '../../src/tokens/static-secret/static-secret.ts'
import { failureOf, resultOf } from '../support/command.ts'
import { cloneDatabase } from '../support/database.ts'
import { preparedDirectory } from '../support/embedded.ts'
import { freePort, run, said } from '../support/process.ts'

t.test('--help and --version print their output and end with 0', async (t) => {
  t.match(await resultOf(['--help']), { code: 0, output: /serve.*migrate.*openapi/s })
  t.same(await resultOf(['--version']), { code: 0, output: `${manifest.version}\n` })
})

t.test('an unknown command or option ends with 64 and a sentence', async (t) => {
  const wrong = run(t, ['nonesuch'])
  t.match(await wrong.exit, { code: 64 })
  t.match(wrong.output(), /^counterfoil: .+\n$/)
  for (const args of [['serve', 'twice'], ['--nonesuch'], ['constructor']])
    t.match(await failureOf(args), { code: 64, message: /^.+$/ }, args.join(' '))
})

t.test('a malformed variable ends with 78 and a sentence that names it and not its value', async (t) => {
  const wrong: [string, string][] = [
    ['PORT', 'eighty'],
    ['PORT', '70000'],
    ['MIGRATE', 'maybe'],
    ['LOG_LEVEL', 'loud'],
    ['DATABASE_URL', 'mysql://user:hunter2@localhost/x'],
    ['DATABASE_POOL_SIZE', '0'],
    ['PUBLIC_URL', 'https://user:hunter2@tokens.example'],
    ['TRUST_PROXY', '10.0.0.0/8,hunter2'],
    ['TRUST_PROXY', '10.0.0.0/33'],
    ['CORS_ORIGINS', 'https://console.example/hunter2'],
    ['ADMIN_TOKEN', 'hunter2'],
    ['ADMIN_TOKEN', `cfm_hunter2${'a'.repeat(29)}`],
    ['ADMIN_TOKEN_FILE', '/nonesuch/file'],
  ]
  for (const [name, value] of wrong) {
    const failure = await failureOf([], { [name]: value })
    t.match(failure, { code: 78, message: new RegExp(`^${name} .+$`) }, `${name}=${value}`)
    t.notMatch(failure.message, /hunter2/)
  }
  const started = run(t, [], { PORT: 'eighty' })
  t.match(await started.exit, { code: 78 })
  t.match(started.output(), /^counterfoil: PORT .+\n$/)
})

t.test('a secret is set by a variable or a file, not both', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'counterfoil-config-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const file = join(directory, 'url')
  await writeFile(file, `${await cloneDatabase()}\n`)
  await chmod(file, 0o600)
  const both = { DATABASE_URL: 'postgres://x', DATABASE_URL_FILE: file }
  t.match(await failureOf(['migrate'], both), { code: 78 })
  t.match(await resultOf(['migrate'], { DATABASE_URL_FILE: file }), { code: 0 })
})

t.test('a database that cannot be reached ends with 69', async (t) => {
  const failure = await failureOf([], { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' })
  t.match(failure, { code: 69, message: /The database cannot be reached/ })
})

t.test('a port in use ends with 78 and a data directory in use with 69, each with a sentence', async (t) => {
  const dataDir = await preparedDirectory(t)
  const env = { DATA_DIR: dataDir, PORT: String(await freePort()) }
  const first = run(t, [], env)
  await said(first, 'Counterfoil is running')
  const sameDirectory = await failureOf([], { ...env, PORT: String(await freePort()) })
  t.match(sameDirectory, { code: 69, message: /^another Counterfoil is using .+$/ })
  const url = { DATABASE_URL: await cloneDatabase(), ADMIN_TOKEN: 'an-administrator-token-of-this-test' }
  const samePort = await failureOf([], { ...url, PORT: env.PORT })
  t.match(samePort, { code: 78, message: /^HOST and PORT cannot be listened on: .+$/ })
  first.child.kill('SIGTERM')
  t.match(await first.exit, { code: 0 })
})

t.test('an empty database without ADMIN_TOKEN ends with 78', async (t) => {
  t.match(await failureOf([], { DATABASE_URL: await cloneDatabase() }), { code: 78, message: /ADMIN_TOKEN/ })
})

t.test('openapi prints the document', async (t) => {
  const { code, output } = await resultOf(['openapi'])
  t.equal(code, 0)
  t.match(JSON.parse(output), { openapi: '3.1.0', info: { version: manifest.version } })
})

t.test('an AUTH_SECRET without effect is reported at startup, and the service starts', async (t) => {
  const url = await cloneDatabase()
  const text = 'a-static-secret-that-is-long-enough-to-be-used'
  const started = run(t, [], {
    DATABASE_URL: url,
    ADMIN_TOKEN: 'an-administrator-token-of-this-test',
    PORT: String(await freePort()),
    AUTH_SECRET: text,
    AUTH_SECRET_ORGANIZATION: 'nonesuch',
  })
  await said(started, 'Server listening')
  t.match(started.output(), /AUTH_SECRET_ORGANIZATION is not the key or id of any organization/)
  t.notMatch(started.output(), /nonesuch/, 'it may be the secret in the wrong place')
  const db = createDb({ url, poolSize: 1 })
  t.teardown(() => db.destroy())
  const secret = new Secret(text)
  t.match(await staticSecretWarnings(db, { secret, organization: 'platform' }), [
    /There is no token type scim/,
  ])
  t.same(await staticSecretWarnings(db, undefined), [])
})

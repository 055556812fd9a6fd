// Mistakes of an operator before a start: each ends it with one sentence, and with the exit code that says whether
// starting again can help.
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { failureOf } from '../support/command.ts'
import { isRoot, preparedDirectory } from '../support/embedded.ts'
import { startOwnServer } from '../support/own-server.ts'
import { freePort, run, said } from '../support/process.ts'

t.setTimeout(900_000)

const password = 'hunter2'
const server = await startOwnServer(t)
const { admin, urlWith } = server
await admin(`alter role service password '${password}'`)

const folder = await mkdtemp(join(tmpdir(), 'counterfoil-operator-'))
await chmod(folder, 0o777)
t.teardown(() => rm(folder, { recursive: true, force: true }))

type Mistake = { env: Record<string, string>; code: 64 | 69 | 78; says: RegExp; within?: string[] }

/** Starts in this process, or in one of its own to see what it prints, or through the command `within`. */
async function fails(t: Test, { env: more, code, says, within }: Mistake) {
  const given = { ADMIN_TOKEN: `${password}-is-the-administrators-token`, PORT: String(await freePort()) }
  const env = { ...given, ...more }
  const failure = within ? await failsAlone(t, env, within) : await failureOf([], env)
  t.equal(failure.code, code)
  t.match(failure.message, /^[^\n]+$/, 'one line')
  t.match(failure.message, says)
  t.notMatch(failure.message, /^\s+at |\.ts:\d|hunter2/m, 'no stack and no secret')
}

async function failsAlone(t: Test, env: Record<string, string>, within: string[]) {
  const started = run(t, [], env, within)
  let errors = ''
  started.child.stderr?.on('data', (text) => {
    errors += text
  })
  const { code } = await started.exit
  t.match(errors, /^counterfoil: .*\n$/, started.output())
  return { code, message: errors.slice('counterfoil: '.length, -1) }
}

const alone: string[] = []

const service = (change: (url: URL) => void = () => {}) =>
  urlWith((url) => {
    url.password = password
    change(url)
  })
const at = (database: string) => service((url) => (url.pathname = `/${database}`))
const tls = (mode: string) => service(({ searchParams }) => searchParams.set('sslmode', mode))

function walk(code: Mistake['code'], mistakes: Record<string, Omit<Mistake, 'code'>>) {
  for (const [name, mistake] of Object.entries(mistakes))
    t.test(`${name} ends the start with ${code} and a sentence`, (t) => fails(t, { ...mistake, code }))
}

t.test('a malformed URL ends the start with 78, and no part of it is printed', async (t) => {
  const says = /^DATABASE_URL has [^:]+: percent-encode special characters in the user name and password\.$/
  const env = { DATABASE_URL: 'postgres://u:hunter2@ss/w#rd@host/db' }
  await fails(t, { env, code: 78, says, within: alone })
})

walk(69, {
  'a wrong password': {
    env: { DATABASE_URL: service((url) => (url.password = 'hunter22')) },
    says: /password authentication failed.*check the user name and the password in DATABASE_URL/,
    within: alone,
  },
  'a missing password': {
    env: { DATABASE_URL: service((url) => (url.password = '')) },
    says: /password.*put the password into DATABASE_URL/,
  },
  'a missing database': { env: { DATABASE_URL: at('nonesuch') }, says: /does not exist; create it, or/ },
  'a host without an address': {
    env: { DATABASE_URL: service((url) => (url.hostname = 'nonesuch.invalid')) },
    says: /check the host in DATABASE_URL/,
  },
  'a port without a server': {
    env: { DATABASE_URL: service((url) => (url.port = '1')) },
    says: /ECONNREFUSED.*check that the server runs/,
  },
  'TLS that the server refuses': {
    env: { DATABASE_URL: tls('verify-full') },
    says: /does not support SSL.*sslmode=disable/,
  },
})

const key = join(server.directory, 'server.key')
const certificate = join(folder, 'server.crt')
execFileSync(
  'openssl',
  [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=another.example', '-keyout', join(folder, 'server.key'), '-out', certificate],
  ],
  { stdio: 'ignore' },
)

t.test(
  'TLS that cannot be verified ends the start with 69 and a sentence about the certificate',
  async (t) => {
    await writeFile(key, await readFile(join(folder, 'server.key')), { mode: 0o600 })
    await writeFile(join(server.directory, 'server.crt'), await readFile(certificate))
    execFileSync('chown', ['--reference', server.directory, key])
    await admin('alter system set ssl = on')
    await admin('select pg_reload_conf()')
    const unknown = { DATABASE_URL: tls('verify-full') }
    await fails(t, { env: unknown, code: 69, says: /self-signed certificate.*check sslrootcert/ })
    const other = service(({ searchParams }) => {
      searchParams.set('sslmode', 'verify-full')
      searchParams.set('sslrootcert', certificate)
    })
    await fails(t, { env: { DATABASE_URL: other }, code: 69, says: /altnames.*and the host/ })
  },
)

for (const encoding of ['LATIN1', 'SQL_ASCII'])
  await admin(
    `create database ${encoding} owner service encoding '${encoding}' locale_provider libc locale 'C' template template0`,
  )
for (const table of ['tokens', 'organizations', 'kysely_migration']) {
  await admin(`create database foreign_${table} owner service`)
  await admin(`create table ${table} (number integer); insert into ${table} values (7)`, `foreign_${table}`)
  await admin(`create database foreign_${table}_of_another template foreign_${table} owner service`)
  await admin(`alter table ${table} owner to service`, `foreign_${table}`)
}
await admin('create database unprivileged')
await admin('create database without_schema')
await admin('drop schema public', 'without_schema')
await admin('create database unreadable template service')
await admin('alter table kysely_migration owner to postgres', 'unreadable')

walk(78, {
  'a database in LATIN1': {
    env: { DATABASE_URL: at('latin1') },
    says: /LATIN1 but must be UTF8: create/,
  },
  'a database in SQL_ASCII': {
    env: { DATABASE_URL: at('sql_ascii') },
    says: /SQL_ASCII but must be UTF8: create/,
  },
  'a foreign table tokens': {
    env: { DATABASE_URL: at('foreign_tokens') },
    says: /"tokens" already exists.*nothing was changed: give Counterfoil a database or a schema of its own/,
  },
  'a foreign table organizations': {
    env: { DATABASE_URL: at('foreign_organizations') },
    says: /"organizations" already exists.*give Counterfoil/,
  },
  'a foreign table kysely_migration': {
    env: { DATABASE_URL: at('foreign_kysely_migration') },
    says: /kysely_migration belongs to another application: give Counterfoil/,
  },
  'a table tokens of another role': {
    env: { DATABASE_URL: at('foreign_tokens_of_another') },
    says: /"tokens" already exists.*nothing was changed: give Counterfoil a database or a schema of its own/,
  },
  'a table organizations of another role': {
    env: { DATABASE_URL: at('foreign_organizations_of_another') },
    says: /"organizations" already exists.*give Counterfoil/,
  },
  'a table kysely_migration of another role': {
    env: { DATABASE_URL: at('foreign_kysely_migration_of_another') },
    says: /kysely_migration belongs to another role, and service may not read it: give Counterfoil/,
  },
  'a role without rights on the schema': {
    env: { DATABASE_URL: at('unprivileged') },
    says: /may not create tables in the schema public: grant create on schema public to service/,
  },
  'a database without a schema': {
    env: { DATABASE_URL: at('without_schema') },
    says: /no schema of its search_path: create one, and grant/,
  },
  'a role without rights on the tables': {
    env: { DATABASE_URL: at('unreadable') },
    says: /lacks privileges.*grant select on table kysely_migration to service/,
  },
})

t.test('foreign tables are unchanged, and nothing was added', async (t) => {
  for (const table of ['tokens', 'organizations', 'kysely_migration']) {
    const database = `foreign_${table}`
    t.same(await admin(`select * from ${table}`, database), [{ number: 7 }])
    const relations = "select relname from pg_class where relnamespace = 'public'::regnamespace"
    t.same(await admin(relations, database), [{ relname: table }])
  }
})

const works = (command: string[]) => {
  try {
    execFileSync(command[0] as string, command.slice(1), { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
const withoutLowPorts = isRoot
  ? ['setpriv', '--bounding-set', '-net_bind_service', '--inh-caps', '-net_bind_service']
  : []
const lowPort = `require('net').createServer().once('error', () => process.exit(0)).listen(1, () => process.exit(1))`

t.test('an address that cannot be listened on ends the start with 78 and a sentence', async (t) => {
  const addresses: Record<string, RegExp> = {
    'nonesuch.invalid': /set HOST to an address of this machine/,
    '203.0.113.1': /EADDRNOTAVAIL.*set HOST to an address of this machine/,
    'not an address': /set HOST to an address of this machine/,
  }
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const given = { DATABASE_URL: service() }
  for (const [HOST, says] of Object.entries(addresses))
    await fails(t, { env: { ...given, HOST }, code: 78, says })
  const used = { HOST: '127.0.0.1', PORT: String(port) }
  const says = /EADDRINUSE.*stop the other process that uses the port, or set another PORT/
  await fails(t, { env: { ...given, ...used }, code: 78, says })
  // Workers fail for the same reason at the same time: the primary cannot use a port, a worker a name.
  const workers = { ...given, WORKERS: '2' }
  await fails(t, { env: { ...workers, ...used }, code: 78, says, within: alone })
  const name = { HOST: 'nonesuch.invalid' }
  await fails(t, { env: { ...workers, ...name }, code: 78, says: /set HOST to an address/, within: alone })
})

t.test(
  'a privileged port ends the start with 78 and a sentence',
  { skip: !works([...withoutLowPorts, process.execPath, '-e', lowPort]) && 'every port is permitted here' },
  (t) =>
    fails(t, {
      env: { DATABASE_URL: service(), PORT: '1' },
      code: 78,
      says: /EACCES.*set PORT to 1024 or above/,
      within: withoutLowPorts,
    }),
)

t.test('an empty file of the embedded database ends the start with 78', async (t) => {
  const dataDir = await preparedDirectory(t)
  const first = run(t, [], { DATA_DIR: dataDir, PORT: String(await freePort()) })
  await said(first, 'Counterfoil is running')
  first.child.kill('SIGTERM')
  await first.exit
  for (const name of ['master-key', 'postgres-password']) {
    await writeFile(join(dataDir, name), '')
    const says = new RegExp(`${name} .*restore it from a backup`)
    await fails(t, { env: { DATA_DIR: dataDir }, code: 78, says })
  }
  await rm(join(dataDir, 'postgres-password'))
  const says = /cannot use DATA_DIR.*ENOENT.*postgres-password/
  await fails(t, { env: { DATA_DIR: dataDir }, code: 78, says })
})

t.test('an empty admin-token of an empty embedded database ends the start with 78', async (t) => {
  const dataDir = join(folder, 'without-administrator')
  await mkdir(dataDir)
  await writeFile(join(dataDir, 'admin-token'), '')
  // An empty variable counts as unset.
  await fails(t, { env: { DATA_DIR: dataDir, ADMIN_TOKEN: '' }, code: 78, says: /set ADMIN_TOKEN/ })
})

t.test('a DATA_DIR that cannot be used ends the start with 78 and a sentence', async (t) => {
  await writeFile(join(folder, 'file'), '')
  const says = /cannot use DATA_DIR.*start Counterfoil as the owner of that directory, or use another one/
  for (const place of ['file', 'file/below'])
    await fails(t, { env: { DATA_DIR: join(folder, place) }, code: 78, says })
  const ordinary = isRoot ? ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'] : []
  for (const [name, mode] of Object.entries({ unreadable: 0o300, unwritable: 0o500, closed: 0o000 })) {
    const DATA_DIR = join(folder, name)
    await mkdir(DATA_DIR)
    if (isRoot) execFileSync('chown', ['65534:65534', DATA_DIR])
    await chmod(DATA_DIR, mode)
    await fails(t, { env: { DATA_DIR }, code: 78, says, within: ordinary })
  }
})

const smallDisk = (then: string) => [
  ...['unshare', '--mount', 'sh', '-c'],
  `mount -t tmpfs -o size=8m,mode=0777 none '${folder}' && ${then}`,
]
t.test(
  'a full disk ends the start of the embedded database with 69 and a sentence',
  { skip: !works(smallDisk('true')) && 'no file system can be mounted here' },
  (t) =>
    fails(t, {
      env: { DATA_DIR: join(folder, 'full') },
      code: 69,
      says: /could not create its data directory: .*No space left on device/,
      within: [...smallDisk('exec "$@"'), 'sh'],
    }),
)

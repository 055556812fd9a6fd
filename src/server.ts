#!/usr/bin/env node
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import closeWithGrace from 'close-with-grace'
import { adminTokenIn, adminTokenPath } from './admin-token.ts'
import { buildApp } from './app.ts'
import { bootstrap } from './bootstrap.ts'
import { type Config, ConfigError, readConfig } from './config.ts'
import { createDb, type Db } from './db/database.ts'
import { startEmbedded } from './db/embedded.ts'
import { migrate, pendingMigrations } from './db/migrate.ts'
import { explainExit, UsageError } from './exit.ts'
import { createLogger } from './http/log.ts'
import { prepareKeys, rewrapKeys, rotateKeys } from './keys/care.ts'
import { masterKeyIn } from './keys/master-key.ts'
import { scheduleKeyCare } from './keys/schedule.ts'
import type { Signing } from './keys/signing.ts'
import { version } from './version.ts'
import { welcome } from './welcome.ts'

const usage = `counterfoil [command]

  serve        run the service (default)
  migrate      bring the database up to date, then end
  openapi      print the OpenAPI document
  rotate-keys  publish a new key to sign JWTs with, which does so an hour later, or with --immediately at once
  rewrap       seal the signing keys anew, under a new MASTER_KEY

  --help       show this
  --version    show the version

Configuration comes from environment variables: see docs/configuration.md.
`

type Flags = { immediately: boolean }

const commands: Record<string, (flags: Flags) => Promise<void>> = {
  serve,
  migrate: runMigrations,
  openapi: printOpenapi,
  'rotate-keys': runRotation,
  rewrap: runRewrap,
}

try {
  await main()
} catch (error) {
  const { message, code } = explainExit(error)
  process.stderr.write(`counterfoil: ${message}\n`)
  process.exitCode = code
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'v' },
      immediately: { type: 'boolean', default: false },
    },
  })
  if (values.help) return void process.stdout.write(usage)
  if (values.version) return void process.stdout.write(`${version}\n`)
  const [name = 'serve', ...rest] = positionals
  const command = Object.hasOwn(commands, name) && rest.length === 0 ? commands[name] : undefined
  if (!command) throw new UsageError(`There is no command ${positionals.join(' ')}; see counterfoil --help.`)
  const { immediately } = values
  if (immediately && name !== 'rotate-keys') throw new UsageError('--immediately is for rotate-keys only.')
  await command({ immediately })
}

async function serve(): Promise<void> {
  const config = readConfig(process.env)
  const log = createLogger(config.logLevel)
  const { db, closeDatabase, embedded } = await openDatabase(config, (err) =>
    log.warn({ err }, 'database connection lost'),
  )
  try {
    const signing = await signingOf(config, embedded)
    await prepare(db, config, signing, embedded)
    const url = config.publicUrl ?? `http://localhost:${config.port}`
    const app = await buildApp({ ...config, db, log, now: () => new Date(), issuer: url, signing })
    await app.listen({ host: config.host, port: config.port })
    const keyCare = scheduleKeyCare(db, signing, config.keyRotationDays, log)
    closeWithGrace({ delay: 30_000, logger: log }, async ({ err, signal }) => {
      if (err) log.fatal({ err }, 'stopping after a defect')
      else log.info({ signal }, 'stopping')
      await app.close()
      await keyCare.stop()
      await closeDatabase()
    })
    if (embedded)
      process.stdout.write(welcome({ url, adminTokenPath: resolve(adminTokenPath(config.dataDir)) }))
  } catch (error) {
    await closeDatabase()
    throw error
  }
}

async function prepare(db: Db, config: Config, signing: Signing, embedded: boolean): Promise<void> {
  if (config.migrate) await migrate(db)
  const pending = await pendingMigrations(db)
  if (pending.length > 0)
    throw new ConfigError(`MIGRATE is false and the database lacks ${pending.join(', ')}.`)
  const adminToken = config.adminToken ?? (embedded ? await adminTokenIn(config.dataDir) : undefined)
  await bootstrap(db, new Date(), adminToken, { withExamples: embedded })
  await prepareKeys(db, signing, new Date())
}

/** The embedded database brings a master key of its own, as it brings an administrator. */
async function signingOf(config: Config, embedded: boolean): Promise<Signing> {
  const { masterKeys, signingAlg: alg, dataDir } = config
  return { masterKeys: embedded && masterKeys.length === 0 ? [await masterKeyIn(dataDir)] : masterKeys, alg }
}

async function runMigrations(): Promise<void> {
  const { db, closeDatabase } = await openDatabase(readConfig(process.env))
  try {
    const applied = await migrate(db)
    process.stdout.write(
      applied.length > 0 ? `Applied ${applied.join(', ')}.\n` : 'The database is up to date.\n',
    )
  } finally {
    await closeDatabase()
  }
}

async function runRotation(how: Flags): Promise<void> {
  await onKeys(async (db, signing) => {
    const { kid, activatesAt } = await rotateKeys(db, signing, new Date(), how)
    return `The key ${kid} is published; it signs from ${activatesAt.toISOString()} on.`
  })
}

async function runRewrap(): Promise<void> {
  await onKeys(async (db, signing) => {
    return `Signing keys sealed anew: ${await rewrapKeys(db, signing, new Date())}. MASTER_KEY_PREVIOUS is not needed any more.`
  })
}

async function onKeys(work: (db: Db, signing: Signing) => Promise<string>): Promise<void> {
  const config = readConfig(process.env)
  const { db, closeDatabase, embedded } = await openDatabase(config)
  try {
    process.stdout.write(`${await work(db, await signingOf(config, embedded))}\n`)
  } finally {
    await closeDatabase()
  }
}

async function printOpenapi(): Promise<void> {
  const db = createDb({ url: 'postgres://unused', poolSize: 1 })
  const log = createLogger('silent')
  const app = await buildApp({
    db,
    log,
    now: () => new Date(),
    issuer: 'http://localhost:7662',
    signing: { masterKeys: [], alg: 'EdDSA' },
    trustProxy: [],
    corsOrigins: [],
  })
  await app.ready()
  process.stdout.write(`${JSON.stringify(app.swagger(), null, 2)}\n`)
}

async function openDatabase({ databaseUrl, dataDir, poolSize }: Config, onError?: (error: Error) => void) {
  const server = databaseUrl === undefined ? await startEmbedded(dataDir) : undefined
  const db = createDb({ url: server?.url ?? databaseUrl ?? '', poolSize, ...(onError && { onError }) })
  const closeDatabase = async () => {
    await db.destroy()
    await server?.stop()
  }
  return { db, closeDatabase, embedded: server !== undefined }
}

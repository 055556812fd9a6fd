#!/usr/bin/env node
import cluster from 'node:cluster'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import closeWithGrace, { type Signals } from 'close-with-grace'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { adminTokenPath } from './admin-token.ts'
import { buildApp } from './app.ts'
import { type Config, configWarnings, readConfig } from './config.ts'
import { createDb, type Db } from './db/database.ts'
import { explainExit, UsageError } from './exit.ts'
import { createLogger } from './http/log.ts'
import { createCredentials } from './introspection/credentials.ts'
import { createUsage } from './introspection/usage.ts'
import { rewrapKeys, rotateKeys } from './keys/care.ts'
import { masterKeyPath } from './keys/master-key.ts'
import type { Signing } from './keys/signing.ts'
import { createOutbound } from './outbound/outbound.ts'
import {
  bringsMasterKey,
  type Database,
  databaseWarnings,
  migrateDatabase,
  openDatabase,
  prepare,
  signingOf,
} from './prepare.ts'
import { createTail } from './revocations/tail.ts'
import { publicUrl, startService } from './service.ts'
import { environmentWarnings } from './tokens/environment/environment.ts'
import { version } from './version.ts'
import { welcome } from './welcome.ts'
import { measureWith, onStop, startWorkers } from './workers.ts'

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

// A cache that fills slowly is no reason to let the heap grow to several times of what it holds.
setFlagsFromString('--heap-growing-percent=20')

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
  // The channel to the primary would keep a worker alive that has nothing to do.
  if (cluster.isWorker) process.exit()
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
  for (const warning of configWarnings(config)) log.warn(warning)
  const onError = (err: Error) => log.warn({ err }, 'database connection lost')
  const database = await openDatabase(config, onError)
  const closing = [database.close]
  const close = async () => {
    for (const end of closing.splice(0).reverse()) await end()
  }
  try {
    const signing = await signingOf(database, config)
    if (cluster.worker) {
      // From the beginning: who is told to stop while starting has nothing to finish.
      closeInTime(log, close)
      const registry = new Registry()
      const measuring = { registry, render: measureWith(cluster.worker, registry) }
      closing.push(await startService({ config, database, signing, log, onError, measuring }))
      return
    }
    await prepare(database, config, signing)
    const warnings = [
      ...(await databaseWarnings(database, config)),
      ...(await environmentWarnings(database.db, config.environment)),
    ]
    for (const warning of warnings) log.warn(warning)
    closing.push(
      config.workers === 1
        ? await startService({ config, database, signing, log, onError })
        : await serveByWorkers(config, database, log),
    )
  } catch (error) {
    await close()
    throw error
  }
  closeInTime(log, close)
  if (database.embedded) {
    const paths = { adminTokenPath: resolve(adminTokenPath(config.dataDir)) }
    process.stdout.write(welcome({ url: publicUrl(config), ...paths }))
  }
}

async function serveByWorkers(config: Config, database: Database, log: Logger): Promise<() => Promise<void>> {
  // In place of what this process was given: the embedded database has an address only now, and a master key.
  const env = {
    ...{ DATABASE_URL: database.url, DATABASE_URL_FILE: '' },
    ...(bringsMasterKey(database, config) && { MASTER_KEY_FILE: resolve(masterKeyPath(config.dataDir)) }),
  }
  const workers = startWorkers(config.workers, env, log)
  process.once('exit', workers.kill)
  await workers.ready
  return workers.stop
}

function closeInTime(log: Logger, close: () => Promise<void>): void {
  const { worker } = cluster
  // A terminal sends its signals to all processes; here the primary says when.
  const signals: Signals[] = worker ? ['SIGINT', 'SIGTERM', 'SIGHUP'] : []
  for (const signal of signals) process.on(signal, () => {})
  const grace = closeWithGrace({ delay: 30_000, logger: log, skip: signals }, async ({ err, signal }) => {
    if (err) log.fatal({ err }, 'stopping after a defect')
    else log.info({ signal }, 'stopping')
    await close()
  })
  if (worker) onStop(worker, grace.close)
}

async function runMigrations(): Promise<void> {
  const database = await openDatabase(readConfig(process.env), () => {})
  try {
    const applied = await migrateDatabase(database)
    process.stdout.write(
      applied.length > 0 ? `Applied ${applied.join(', ')}.\n` : 'The database is up to date.\n',
    )
  } finally {
    await database.close()
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
  const database = await openDatabase(config, () => {})
  try {
    process.stdout.write(`${await work(database.db, await signingOf(database, config))}\n`)
  } finally {
    await database.close()
  }
}

async function printOpenapi(): Promise<void> {
  const url = 'postgres://unused'
  const log = createLogger('silent')
  const db = createDb({ url, poolSize: 1 })
  const onError = () => {}
  const credentials = createCredentials({ databaseUrl: url, cacheSize: 0, every: () => onError, onError })
  const app = await buildApp({
    db,
    credentials,
    usage: createUsage(db, { every: () => onError, onError }),
    tail: createTail({ databaseUrl: url, every: () => onError, onError }),
    log,
    now: () => new Date(),
    issuer: 'http://localhost:7662',
    cursorKey: Buffer.alloc(32),
    environment: undefined,
    outbound: createOutbound({ allow: [] }),
    signing: { masterKeys: [], alg: 'EdDSA' },
    trustProxy: [],
    corsOrigins: [],
  })
  await app.ready()
  process.stdout.write(`${JSON.stringify(app.swagger(), null, 2)}\n`)
  await credentials.close()
}

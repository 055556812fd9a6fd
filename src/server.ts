#!/usr/bin/env node
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import closeWithGrace from 'close-with-grace'
import { adminTokenIn, adminTokenPath } from './admin-token.ts'
import { buildApp } from './app.ts'
import { bootstrap } from './bootstrap.ts'
import { type Config, ConfigError, configWarnings, readConfig } from './config.ts'
import { createDb, type Db } from './db/database.ts'
import { startEmbedded } from './db/embedded.ts'
import { readCursorKey } from './db/installation.ts'
import { migrate, pendingMigrations } from './db/migrate.ts'
import { explainExit, UsageError } from './exit.ts'
import { createLogger } from './http/log.ts'
import { forgetAnswers } from './idempotency/idempotency.ts'
import { version } from './version.ts'
import { welcome } from './welcome.ts'

const usage = `counterfoil [command]

  serve      run the service (default)
  migrate    bring the database up to date, then end
  openapi    print the OpenAPI document

  --help     show this
  --version  show the version

Configuration comes from environment variables: see docs/configuration.md.
`

const hourMs = 60 * 60 * 1000

const commands: Record<string, () => Promise<void>> = { serve, migrate: runMigrations, openapi: printOpenapi }

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
    options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'v' } },
  })
  if (values.help) return void process.stdout.write(usage)
  if (values.version) return void process.stdout.write(`${version}\n`)
  const [name = 'serve', ...rest] = positionals
  const command = Object.hasOwn(commands, name) && rest.length === 0 ? commands[name] : undefined
  if (!command) throw new UsageError(`There is no command ${positionals.join(' ')}; see counterfoil --help.`)
  await command()
}

async function serve(): Promise<void> {
  const config = readConfig(process.env)
  const log = createLogger(config.logLevel)
  for (const warning of configWarnings(config)) log.warn(warning)
  const { db, closeDatabase, embedded } = await openDatabase(config, (err) =>
    log.warn({ err }, 'database connection lost'),
  )
  try {
    await prepare(db, config, embedded)
    const url = config.publicUrl ?? `http://localhost:${config.port}`
    const app = await buildApp({
      ...config,
      db,
      log,
      now: () => new Date(),
      issuer: url,
      cursorKey: await readCursorKey(db),
    })
    await app.listen({ host: config.host, port: config.port })
    const forgetting = setInterval(() => {
      forgetAnswers(db, new Date()).catch((err) => log.warn({ err }, 'old answers could not be dropped'))
    }, hourMs)
    closeWithGrace({ delay: 30_000, logger: log }, async ({ err, signal }) => {
      if (err) log.fatal({ err }, 'stopping after a defect')
      else log.info({ signal }, 'stopping')
      clearInterval(forgetting)
      await app.close()
      await closeDatabase()
    })
    if (embedded)
      process.stdout.write(welcome({ url, adminTokenPath: resolve(adminTokenPath(config.dataDir)) }))
  } catch (error) {
    await closeDatabase()
    throw error
  }
}

async function prepare(db: Db, config: Config, embedded: boolean): Promise<void> {
  if (config.migrate) await migrate(db)
  const pending = await pendingMigrations(db)
  if (pending.length > 0)
    throw new ConfigError(`MIGRATE is false and the database lacks ${pending.join(', ')}.`)
  const adminToken = config.adminToken ?? (embedded ? await adminTokenIn(config.dataDir) : undefined)
  await bootstrap(db, new Date(), adminToken, { withExamples: embedded })
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

async function printOpenapi(): Promise<void> {
  const db = createDb({ url: 'postgres://unused', poolSize: 1 })
  const log = createLogger('silent')
  const app = await buildApp({
    db,
    log,
    now: () => new Date(),
    issuer: 'http://localhost:7662',
    cursorKey: Buffer.alloc(32),
    environment: undefined,
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

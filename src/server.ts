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
import { createCredentials } from './introspection/credentials.ts'
import { createUsage } from './introspection/usage.ts'
import { repeat } from './repeat.ts'
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
  const onError = (err: Error) => log.warn({ err }, 'database connection lost')
  const { db, databaseUrl, closeDatabase, embedded } = await openDatabase(config, onError)
  const closing = [closeDatabase]
  const close = async () => {
    for (const end of closing.reverse()) await end()
  }
  try {
    await prepare(db, config, embedded)
    const url = config.publicUrl ?? `http://localhost:${config.port}`
    const credentials = createCredentials({
      ...config,
      databaseUrl,
      every: repeat,
      onError,
      onLease: (holds) =>
        holds ? log.info('answering from memory') : log.warn('asking the database every time'),
    })
    closing.push(credentials.close)
    const usage = createUsage(db, { onError, every: repeat })
    closing.push(usage.close)
    const app = await buildApp({ ...config, db, credentials, usage, log, now: () => new Date(), issuer: url })
    closing.push(() => app.close())
    await app.listen({ host: config.host, port: config.port })
    closeWithGrace({ delay: 30_000, logger: log }, async ({ err, signal }) => {
      if (err) log.fatal({ err }, 'stopping after a defect')
      else log.info({ signal }, 'stopping')
      await close()
    })
    if (embedded)
      process.stdout.write(welcome({ url, adminTokenPath: resolve(adminTokenPath(config.dataDir)) }))
  } catch (error) {
    await close()
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
  const url = 'postgres://unused'
  const log = createLogger('silent')
  const db = createDb({ url, poolSize: 1 })
  const onError = () => {}
  const app = await buildApp({
    db,
    credentials: createCredentials({ databaseUrl: url, cacheSize: 0, every: repeat, onError }),
    usage: createUsage(db, { every: () => onError, onError }),
    log,
    now: () => new Date(),
    issuer: 'http://localhost:7662',
    trustProxy: [],
    corsOrigins: [],
  })
  await app.ready()
  process.stdout.write(`${JSON.stringify(app.swagger(), null, 2)}\n`)
}

async function openDatabase({ databaseUrl, dataDir, poolSize }: Config, onError?: (error: Error) => void) {
  const server = databaseUrl === undefined ? await startEmbedded(dataDir) : undefined
  const url = server?.url ?? databaseUrl ?? ''
  const db = createDb({ url, poolSize, ...(onError && { onError }) })
  const closeDatabase = async () => {
    await db.destroy()
    await server?.stop()
  }
  return { db, databaseUrl: url, closeDatabase, embedded: server !== undefined }
}

import cluster from 'node:cluster'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Logger } from 'pino'
import { adminTokenIn, adminTokenPath, saveAdminToken } from './admin-token.ts'
import { type Api, openApi, type Service } from './apply/api.ts'
import { type Config, configWarnings, publicUrl, readConfig } from './config.ts'
import { isBuilt } from './console/assets.ts'
import { createDb, type Db } from './db/database.ts'
import type { Finding } from './doctor.ts'
import { DirectoryInUseError } from './embedded-postgres/error.ts'
import { exitCodes, type Failure, UsageError } from './exit-codes.ts'
import { answeringMs } from './http/drain.ts'
import { createLogger } from './http/log.ts'
import { masterKeyPath } from './keys/master-key.ts'
import { asOwner, bringsMasterKey, type Database, openDatabase, signingOf } from './open-database.ts'
import type { Step } from './restore/check.ts'
import type { ServiceOptions } from './service.ts'
import { Secret } from './shared/secret.ts'
import { version } from './shared/version.ts'
import type { Shutdown } from './shutdown.ts'
import type { Finding as LogFinding } from './transparency-log/findings.ts'
import { welcome } from './welcome.ts'

const usage = `counterfoil [command]

  serve        run the service (default)
  doctor       check the configuration, the database and what else the service needs
  migrate      bring the database up to date, then end
                 --dry-run  only print the SQL and the locks that it takes
  admin-token  create and print a new platform administrator's token, when the last one is lost
  feed FILE    append the revocations since the last time to a file, from a running service
                 --follow  go on until it is stopped
                 --url and --token-file as with import
  restore-check FILE          after a restore, repeat the revocations that such a file has and the database lacks
  restore-check --suspend-all suspend every organization instead
                 --dry-run  only print what would be done
  verify-log [FILE] --checkpoint FILE
                 check the change log in the database, or an export of it with proofs, against checkpoints that were kept elsewhere
                 --key KEY  that signed them, if not the one in the database or the export
  openapi      print the OpenAPI document
  rotate-keys  publish a new key to sign JWTs with, which does so an hour later, or with --immediately at once
  rewrap       reseal the signing keys and all other secrets under a new MASTER_KEY

  These print JSON with --json.

  apply FILE   make the database have the organizations, token types, policies, issuers and webhooks of a YAML file
                 --dry-run            only show what would change
                 --json               show it as JSON
                 --secrets-file FILE  to write the secrets of new webhooks to
                 --url URL            of a running service to use instead of the database
                 --token-file FILE    with the token for it; otherwise ADMIN_TOKEN, or the one in DATA_DIR

  import FILE  import the tokens of a file of NDJSON, or with - of standard input, into a running service
                 --organization KEY  of the tokens
                 --url URL           of the service; otherwise PUBLIC_URL, or localhost with PORT
                 --dry-run, --json and --token-file as with apply

  --help       show this
  --version    show the version

Configuration comes from environment variables: see docs/configuration.md.
`

// The time for the remaining work once every connection is closed.
const closingMs = 10_000

const options = {
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
  immediately: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  json: { type: 'boolean' },
  url: { type: 'string' },
  organization: { type: 'string' },
  'token-file': { type: 'string' },
  'secrets-file': { type: 'string' },
  follow: { type: 'boolean' },
  'suspend-all': { type: 'boolean' },
  checkpoint: { type: 'string' },
  key: { type: 'string' },
} as const

type Flags = ReturnType<typeof parseArgs<{ options: typeof options }>>['values']

type Environment = Record<string, string | undefined>

/** Where a command runs. */
type CommandContext = { env: Environment; shutdown: Shutdown; output: NodeJS.WritableStream }

type Invocation = CommandContext & {
  flags: Flags
  file: string
  /** Prints a result: as a line of JSON with --json, otherwise as text. */
  print(result: object, text: string): void
  /** Makes the command end with the exit code for work that is not all done. */
  leaveIncomplete(): void
}

type Command = {
  run(invocation: Invocation): Promise<void>
  /** The options of the command. */
  flags?: (keyof Flags)[]
  takesFile?: true | 'optional'
}

const commands: Record<string, Command> = {
  serve: { run: serve },
  doctor: { run: runDoctor, flags: ['json'] },
  migrate: { run: runMigrations, flags: ['dry-run', 'json'] },
  'admin-token': { run: runAdminToken, flags: ['json'] },
  openapi: { run: printOpenapi },
  'rotate-keys': { run: runRotation, flags: ['immediately', 'json'] },
  rewrap: { run: runRewrap, flags: ['json'] },
  apply: {
    run: runApply,
    flags: ['dry-run', 'json', 'secrets-file', 'url', 'token-file'],
    takesFile: true,
  },
  import: {
    run: runImport,
    flags: ['organization', 'dry-run', 'json', 'url', 'token-file'],
    takesFile: true,
  },
  feed: { run: runFeed, flags: ['follow', 'url', 'token-file'], takesFile: true },
  'restore-check': {
    run: runRestoreCheck,
    flags: ['suspend-all', 'dry-run', 'json'],
    takesFile: 'optional',
  },
  'verify-log': {
    run: runVerifyLog,
    flags: ['checkpoint', 'key', 'json'],
    takesFile: 'optional',
  },
}

/** Runs the command that the arguments of this process name. */
export async function main(shutdown: Shutdown): Promise<void> {
  try {
    const { argv, env, stdout: output } = process
    process.exitCode = await runCommand(argv.slice(2), { env, shutdown, output })
  } catch (error) {
    // During a shutdown, steps fail in various ways; the shutdown itself sets the exit code.
    if (shutdown.requested.aborted) return
    const ending = await explained(error)
    if (!cluster.worker) {
      process.exitCode = report(ending)
      return
    }
    const { failIn } = await import('./workers.ts')
    failIn(cluster.worker, ending, () => process.exit(report(ending)))
  }
}

async function explained(error: unknown): Promise<Failure> {
  const { explainExit } = await import('./exit.ts')
  return explainExit(error)
}

/** Reports why the process ends; returns the exit code. */
function report({ message, code }: Failure): number {
  process.stderr.write(`counterfoil: ${message}\n`)
  return code
}

/**
 * Resolves with the exit code, or rejects with the reason why the process ends. Each command imports its own modules, since
 * importing takes time.
 */
export async function runCommand(args: string[], context: CommandContext): Promise<number> {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options })
  const { output } = context
  let exitCode: number = exitCodes.done
  if (values.help || values.version) {
    output.write(values.help ? usage : `${version}\n`)
    return exitCode
  }
  const [name = 'serve', ...operands] = positionals
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!command || operands.length > (command.takesFile ? 1 : 0))
    throw new UsageError(`Unknown command ${positionals.join(' ')}; see counterfoil --help.`)
  const { run, flags = [], takesFile } = command
  const [file] = operands
  if (takesFile === true && file === undefined)
    throw new UsageError(`${name} needs a file; see counterfoil --help.`)
  const foreign = Object.keys(values).find((flag) => !flags.includes(flag as keyof Flags))
  if (foreign !== undefined)
    throw new UsageError(`--${foreign} is not an option of ${name}; see counterfoil --help.`)
  await run({
    ...context,
    flags: values,
    file: file ?? '',
    print: (result, text) => output.write(`${values.json ? JSON.stringify(result) : text}\n`),
    leaveIncomplete() {
      exitCode = exitCodes.incomplete
    },
  })
  return exitCode
}

async function serve({ env, shutdown, output }: Invocation): Promise<void> {
  const config = readConfig(env)
  const log = createLogger(config.logLevel)
  shutdown.log = log
  shutdown.limitMs = config.shutdownGraceMs + answeringMs + closingMs
  for (const warning of configWarnings(config)) log.warn(warning)
  if (config.console && !isBuilt()) {
    config.console = false
    log.warn('CONSOLE has no effect: the console is not built. Run npm ci and npm run build, then restart.')
  }
  const onError = (err: Error) => log.warn({ err }, 'database connection lost')
  const database = await open(config, shutdown, onError)
  try {
    const signing = await signingOf(database, config)
    const options = { config, database, signing, log, onError, shutdown }
    if (cluster.worker) {
      const { measureInWorker } = await import('./workers.ts')
      return await serveAlone({ ...options, measuring: measureInWorker(cluster.worker) })
    }
    const { databaseWarnings, prepare } = await import('./prepare.ts')
    const { staticSecretWarnings } = await import('./tokens/static-secret/static-secret.ts')
    await prepare(database, config, signing)
    const warnings = [
      ...(await databaseWarnings(database, config)),
      ...(await staticSecretWarnings(database.db, config.staticSecret)),
    ]
    for (const warning of warnings) log.warn(warning)
    if (config.workers === 1) await serveAlone(options)
    else await serveByWorkers(config, database, log, shutdown)
  } catch (error) {
    if (!shutdown.requested.aborted) await database.close()
    throw error
  }
  if (database.embedded) {
    superviseServer(database, log, shutdown)
    const url = publicUrl(config)
    const token = config.console ? (config.adminToken ?? (await adminTokenIn(config.dataDir))) : undefined
    const link = token && (await signInLink(database.db, token))
    output.write(
      welcome({
        url,
        console: link && `${url}/console/#${link.reveal()}`,
        adminTokenPath: resolve(adminTokenPath(config.dataDir)),
      }),
    )
  }
}

async function signInLink(db: Db, token: Secret): Promise<Secret> {
  const { createSignInLink } = await import('./sessions/sessions.ts')
  return createSignInLink(db, token.hash(), new Date())
}

/** Imports the service only now: a start that fails and the primary of workers do not need it. */
async function serveAlone(options: ServiceOptions): Promise<void> {
  const { startService } = await import('./service.ts')
  await startService(options)
}

/** The service cannot run without its embedded database, so it ends if that cannot be restarted. */
function superviseServer(database: Database, log: Logger, shutdown: Shutdown): void {
  const onRestart = () => log.warn('the embedded PostgreSQL ended unexpectedly and was restarted')
  database.superviseServer(onRestart).catch(async (error) => {
    if (!shutdown.requested.aborted) process.exit(report(await explained(error)))
  })
}

/** Opens the database. If it is the embedded one, its server is stopped at shutdown, even during startup. */
async function open(
  config: Config,
  shutdown: Shutdown,
  onError: (error: Error) => void = () => {},
): Promise<Database> {
  const opening = openDatabase(config, onError, shutdown.requested)
  shutdown.defer(async () => (await opening.catch(() => undefined))?.stopServer())
  return opening
}

async function serveByWorkers(
  config: Config,
  database: Database,
  log: Logger,
  shutdown: Shutdown,
): Promise<void> {
  // Overrides the environment of this process: the address of the embedded database and a new master key are known only
  // now.
  const env = {
    DATABASE_URL: database.url,
    DATABASE_URL_FILE: '',
    ...(bringsMasterKey(database, config) && { MASTER_KEY_FILE: resolve(masterKeyPath(config.dataDir)) }),
  }
  const { startWorkers } = await import('./workers.ts')
  // Workers have the same limit; allow a second more, to see their exit codes.
  shutdown.limitMs += 1_000
  const workers = startWorkers(config.workers, env, log)
  process.once('exit', workers.kill)
  shutdown.defer(() => database.db.destroy())
  shutdown.defer(async () => {
    const code = await workers.stop(shutdown.graceful)
    if (code !== exitCodes.done) process.exit(code)
  })
  await workers.ready
}

async function runDoctor({ env, shutdown, print, leaveIncomplete }: Invocation): Promise<void> {
  const { diagnose } = await import('./doctor.ts')
  const report = (finding: Finding) => {
    const { check, status, detail } = finding
    print(finding, `${status.padEnd(7)}  ${check.padEnd(13)}  ${detail}`)
    if (status === 'failed') leaveIncomplete()
  }
  await diagnose(env, { shutdown: shutdown.requested, report })
}

async function runMigrations({ env, shutdown, flags, print }: Invocation): Promise<void> {
  const { migrate } = await import('./db/migrate.ts')
  await onDatabase(env, shutdown, async (database) => {
    if (flags['dry-run']) return asOwner(database, (db) => printPlan(db, print))
    const applied = await asOwner(database, migrate)
    print({ applied }, applied.length > 0 ? `Applied ${applied.join(', ')}.` : upToDate)
  })
}

const upToDate = 'The database is up to date.'

/** As text, the plan is SQL. */
async function printPlan(db: Db, print: Invocation['print']): Promise<void> {
  const { planMigrations } = await import('./db/migration-plan.ts')
  const plan = await planMigrations(db)
  const pending = plan.map(({ locks, ...migration }) => {
    return { ...migration, locks: [...locks].map(([table, mode]) => ({ table, mode })) }
  })
  const inText = pending.map(({ name, statements, locks }) => {
    const held = locks.map(({ table, mode }) => `${table} (${mode})`).join(', ') || 'none on existing tables'
    return [`-- ${name}`, `-- Locks: ${held}`, ...statements.map((statement) => `${statement};`), ''].join(
      '\n',
    )
  })
  print({ pending }, inText.join('\n') || `-- ${upToDate}`)
}

async function runAdminToken({ env, shutdown, print }: Invocation): Promise<void> {
  const { addAdministrator } = await import('./bootstrap.ts')
  await onDatabase(env, shutdown, async (database, { dataDir, adminToken }) => {
    const { id, secret } = await asOwner(database, (db) => addAdministrator(db, new Date()))
    print({ id, secret: secret.reveal() }, secret.reveal())
    // The start signs in to the console with it, and other commands use it.
    if (database.embedded && !adminToken) await saveAdminToken(dataDir, secret)
  })
}

async function runRotation({ env, shutdown, flags, print }: Invocation): Promise<void> {
  const { immediately = false } = flags
  const { rotateKeys } = await import('./keys/maintenance.ts')
  const { dropLostLogKey } = await import('./transparency-log/key.ts')
  await onDatabase(env, shutdown, async (database, config) => {
    const signing = await signingOf(database, config)
    const { kid, activatesAt } = await asOwner(database, async (db) => {
      if (await dropLostLogKey(db, signing))
        process.stderr.write(
          'MASTER_KEY does not open the key of the transparency log: a new key signs its next checkpoint.\n',
        )
      return rotateKeys(db, signing, new Date(), { immediately })
    })
    const at = activatesAt.toISOString()
    print({ kid, activates_at: at }, `The key ${kid} is published; it signs from ${at} on.`)
  })
}

async function runRewrap({ env, shutdown, print }: Invocation): Promise<void> {
  const { rewrapClientSecrets } = await import('./issuers/client.ts')
  const { rewrapKeys } = await import('./keys/maintenance.ts')
  const { rewrapPollCredentials } = await import('./signals/streams.ts')
  const { rewrapLogKey } = await import('./transparency-log/key.ts')
  const { rewrapSecrets } = await import('./webhooks/webhooks.ts')
  await onDatabase(env, shutdown, async (database, config) => {
    const signing = await signingOf(database, config)
    const [keys, secrets, credentials, clients, logKeys] = await asOwner(database, async (db) => [
      await rewrapKeys(db, signing, new Date()),
      await rewrapSecrets(db, signing),
      await rewrapPollCredentials(db, signing),
      await rewrapClientSecrets(db, signing),
      await rewrapLogKey(db, signing),
    ])
    print(
      {
        signing_keys: keys,
        webhook_secrets: secrets,
        poll_credentials: credentials,
        client_secrets: clients,
        log_keys: logKeys,
      },
      `Resealed: ${keys} signing keys, ${secrets} webhook secrets, ${credentials} credentials for polling, ${clients} client secrets and ${logKeys} log keys. MASTER_KEY_PREVIOUS is no longer needed.`,
    )
  })
}

async function onDatabase<T>(
  env: Environment,
  shutdown: Shutdown,
  work: (database: Database, config: Config) => Promise<T>,
): Promise<T> {
  const config = readConfig(env)
  const database = await open(config, shutdown)
  try {
    return await work(database, config)
  } finally {
    await database.close()
  }
}

async function runApply({ env, flags, file, shutdown, output }: Invocation): Promise<void> {
  const { readConfiguration } = await import('./apply/file.ts')
  const { applyConfiguration } = await import('./apply/command.ts')
  const configuration = readConfiguration(file)
  const dryRun = flags['dry-run'] ?? false
  const applyBy = (api: Api) =>
    applyConfiguration(configuration, {
      api,
      dryRun,
      json: flags.json ?? false,
      secretsFile: flags['secrets-file'],
      print: (text) => output.write(text),
    })
  const applyByService = async () => applyBy(openApi(await runningService(env, flags)))
  if (flags.url !== undefined || flags['token-file'] !== undefined) return applyByService()
  const { openDirectly, rejectMissingCluster } = await import('./direct.ts')
  if (dryRun) rejectMissingCluster(readConfig(env))
  try {
    await onDatabase(env, shutdown, async (database, config) => {
      const log = createLogger('error', process.stderr)
      const direct = await openDirectly(database, config, { command: 'apply', dryRun, log })
      await applyBy(direct.api).finally(direct.close)
    })
  } catch (error) {
    // The embedded database belongs to the service that runs there.
    if (!(error instanceof DirectoryInUseError)) throw error
    await applyByService()
  }
}

async function runImport({ env, flags, file, output, leaveIncomplete }: Invocation): Promise<void> {
  const { organization, json = false } = flags
  if (organization === undefined)
    throw new UsageError('import needs --organization KEY; see counterfoil --help.')
  const { importFile } = await import('./import/command.ts')
  const { invalid } = await importFile(file === '-' ? process.stdin : createReadStream(file), {
    service: await runningService(env, flags),
    organization,
    dryRun: flags['dry-run'] ?? false,
    json,
    async print(text) {
      if (!output.write(text)) await once(output, 'drain')
    },
    pause: (ms) => setTimeout(ms),
  })
  if (invalid > 0) leaveIncomplete()
}

async function runFeed({ env, flags, file, shutdown }: Invocation): Promise<void> {
  const { exportFeed } = await import('./restore/export.ts')
  await exportFeed(file, {
    service: await runningService(env, flags),
    follow: flags.follow ?? false,
    ending: shutdown.requested,
    pause: () => setTimeout(1_000, undefined, { signal: shutdown.requested }),
    warn: (message) => process.stderr.write(`${message}\n`),
  })
}

async function runRestoreCheck({
  env,
  flags,
  file,
  shutdown,
  print,
  leaveIncomplete,
}: Invocation): Promise<void> {
  const { 'dry-run': dryRun = false, 'suspend-all': all } = flags
  if (!file === !all)
    throw new UsageError('restore-check needs either a file or --suspend-all; see counterfoil --help.')
  const { parseExport, replay, suspendAll } = await import('./restore/check.ts')
  const { openDirectly } = await import('./direct.ts')
  const lines = file && parseExport(await readFile(file, 'utf8'))
  const onStep = (step: Step) => {
    print(step, `${step.action.padEnd(11)}  ${step.subject}`)
    if (step.action === 'review') leaveIncomplete()
  }
  await onDatabase(env, shutdown, async (database, config) => {
    const log = createLogger('error', process.stderr)
    const { api, close } = await openDirectly(database, config, { command: 'restore-check', dryRun, log })
    const context = { db: database.db, api, dryRun, onStep }
    await (lines ? replay(lines, context) : suspendAll(context)).finally(close)
  })
}

async function runVerifyLog({
  env,
  flags: { checkpoint, key },
  file,
  shutdown,
  print,
  leaveIncomplete,
}: Invocation): Promise<void> {
  if (checkpoint === undefined)
    throw new UsageError('verify-log needs --checkpoint FILE; see counterfoil --help.')
  const { verifyDatabase } = await import('./transparency-log/verify-database.ts')
  const { verifyExport } = await import('./transparency-log/verify-export.ts')
  const { parseVerifierKey } = await import('./transparency-log/note.ts')
  const kept = {
    file: await readFile(checkpoint, 'utf8'),
    key: key === undefined ? undefined : parseVerifierKey(key),
  }
  let isIntact = true
  const report = (finding: LogFinding) => {
    const { problem, index, event_id, detail } = finding
    const where = [...(index === undefined ? [] : [`index ${index}`]), ...(event_id ? [event_id] : [])]
    print(finding, `${problem.padEnd(11)}  ${[where.join(', '), detail].filter(Boolean).join(': ')}`)
    isIntact = false
    leaveIncomplete()
  }
  const count = file
    ? await verifyExport(createReadStream(file), kept, report)
    : await onDatabase(env, shutdown, (database) =>
        asOwner(database, (db) => verifyDatabase(db, kept, report)),
      )
  if (isIntact) print({ verified: count }, `All ${count} events are as they were logged.`)
}

/** The service that a command calls, and the token for it. */
async function runningService(env: Environment, flags: Flags): Promise<Service> {
  const config = readConfig(env)
  const tokenFile = flags['token-file']
  const token =
    tokenFile === undefined ? config.adminToken : new Secret((await readFile(tokenFile, 'utf8')).trim())
  return {
    url: (flags.url ?? publicUrl(config)).replace(/\/$/, ''),
    token: token ?? new Secret((await readFile(adminTokenPath(config.dataDir), 'utf8')).trim()),
  }
}

async function printOpenapi({ output }: Invocation): Promise<void> {
  const { compose } = await import('./compose.ts')
  const url = 'postgres://unused'
  const never = () => () => {}
  const { app, close } = await compose({
    db: createDb({ url, poolSize: 1 }),
    databaseUrl: url,
    verifier: { cacheSize: 0 },
    every: never,
    onError: () => {},
    log: createLogger('silent'),
    now: () => new Date(),
    issuer: 'http://localhost:7662',
    cursorKey: Buffer.alloc(32),
    staticSecret: undefined,
    outbound: { allow: [] },
    signing: { masterKeys: [], alg: 'EdDSA' },
    trustProxy: [],
    corsOrigins: [],
  })
  await app.ready()
  output.write(`${JSON.stringify(app.swagger(), null, 2)}\n`)
  await close()
}

import { type Config, configWarnings, readConfig } from './config.ts'
import { createCredentialVerifier } from './credentials/credential-verifier.ts'
import { readServerFacts } from './db/installation.ts'
import { pendingMigrations, rejectUnfit } from './db/migrate.ts'
import { missingGrants } from './db/privileges.ts'
import { sessionProblem } from './db/session.ts'
import { explainExit } from './exit.ts'
import { checkKeys } from './keys/maintenance.ts'
import { canSign } from './keys/signing.ts'
import { createMailer } from './mail/transport.ts'
import { type Database, openDatabase, signingOf } from './open-database.ts'
import { databaseWarnings } from './prepare.ts'
import { startInterval } from './shared/interval.ts'
import { staticSecretWarnings } from './tokens/static-secret/static-secret.ts'
import { webhookHealth } from './webhooks/webhooks.ts'

/** In the order in which they are reported. */
const checks = {
  database: checkDatabase,
  privileges: checkPrivileges,
  lease: checkLease,
  clock: checkClock,
  keys: checkSigningKeys,
  mail: checkMail,
  webhooks: checkWebhooks,
}

type CheckName = 'configuration' | keyof typeof checks

export const checkNames: CheckName[] = ['configuration', ...(Object.keys(checks) as (keyof typeof checks)[])]

export type Finding = {
  check: CheckName
  status: 'ok' | 'warning' | 'failed' | 'skipped'
  detail: string
}

type Result = Omit<Finding, 'check'>

const ok = (detail: string): Result => ({ status: 'ok', detail })
const failed = (detail: string): Result => ({ status: 'failed', detail })
const skipped = (detail: string): Result => ({ status: 'skipped', detail })
const okUnless = (warnings: string[], detail: string): Result =>
  warnings.length > 0 ? { status: 'warning', detail: warnings.join(' ') } : ok(detail)

/** Beyond this, instances disagree noticeably about when a token expires. */
const maxSkewMs = 1_000

type Options = {
  shutdown: AbortSignal
  report(finding: Finding): void
  /** This machine's clock, in milliseconds. */
  now?: () => number
}

type Context = { config: Config; opened: Promise<Database>; now: () => number }

/** Checks what an instance with this environment needs, and reports each check. */
export async function diagnose(
  env: Record<string, string | undefined>,
  { shutdown, report, now = Date.now }: Options,
): Promise<void> {
  async function run(check: CheckName, work: () => Promise<Result>): Promise<boolean> {
    const result = await work().catch((error) => failed(explainExit(error).message))
    report({ check, ...result })
    return result.status !== 'failed'
  }

  let config: Config | undefined
  await run('configuration', async () => {
    config = readConfig(env)
    return okUnless(configWarnings(config), 'The environment is valid.')
  })
  if (!config) return
  const context = { config, now, opened: openDatabase(config, () => {}, shutdown) }
  // The checks report its errors.
  context.opened.catch(() => {})
  try {
    let isUsable = true
    for (const [check, work] of Object.entries(checks) as [keyof typeof checks, typeof checkMail][]) {
      if (!isUsable && work !== checkMail) report({ check, ...skipped('It needs the database.') })
      else if (!(await run(check, () => work(context))) && check === 'database') isUsable = false
    }
  } finally {
    await context.opened.then(
      (database) => database.close(),
      () => {},
    )
  }
}

async function checkDatabase({ config, opened }: Context): Promise<Result> {
  const database = await opened
  const { db, prepares } = database
  const problem = await sessionProblem(db, !prepares)
  if (problem) return failed(problem)
  await rejectUnfit(db)
  const pending = await pendingMigrations(db)
  if (pending.length > 0) return failed(`It lacks ${pending.join(', ')}: run counterfoil migrate.`)
  const { version } = await readServerFacts(db)
  const warnings = [
    ...(await databaseWarnings(database, config)),
    ...(await staticSecretWarnings(db, config.staticSecret)),
  ]
  return okUnless(warnings, `PostgreSQL ${version}, migrated.`)
}

async function checkPrivileges({ opened }: Context): Promise<Result> {
  const grants = await missingGrants((await opened).db)
  return grants.length > 0
    ? failed(`As the owner of the tables, run: ${grants.join('; ')};`)
    : ok('The role has every privilege that the service needs.')
}

/** Sends a notification through the database, as the service does four times a second. */
async function checkLease({ config, opened }: Context): Promise<Result> {
  const { url } = await opened
  const verifier = createCredentialVerifier({
    databaseUrl: url,
    listenUrl: config.listenUrl,
    durability: config.revocationDurability,
    // Only with a cache can a change be awaited.
    cacheSize: 1,
    every: startInterval,
    onError: () => {},
  })
  try {
    const problem = await verifier.unready()
    if (problem !== undefined) return failed(problem)
    const startedAt = performance.now()
    await verifier.settled()
    const ms = performance.now() - startedAt
    return ok(`A notification came back after ${Math.ceil(ms)} ms.`)
  } finally {
    await verifier.close()
  }
}

async function checkClock({ opened, now: here }: Context): Promise<Result> {
  const { db } = await opened
  const before = here()
  const { now } = await readServerFacts(db)
  const after = here()
  const skew = Math.round(now.getTime() - (before + after) / 2)
  const detail = `The clock of the database is ${Math.abs(skew)} ms ${skew < 0 ? 'behind' : 'ahead'}.`
  // The database read its clock at some point in between.
  return Math.abs(skew) - (after - before) / 2 > maxSkewMs
    ? failed(`${detail} Synchronize both clocks (NTP): they decide when tokens expire.`)
    : ok(detail)
}

async function checkSigningKeys({ config, opened }: Context): Promise<Result> {
  const database = await opened
  const signing = await signingOf(database, config)
  if (!canSign(signing)) return skipped('MASTER_KEY is not set, so JWTs and webhooks cannot be signed.')
  const key = await checkKeys(database.db, signing, new Date())
  return okUnless(
    key ? [] : ['There is no signing key yet: the next start creates one.'],
    `MASTER_KEY opens the key ${key?.kid}, which has been signing since ${key?.activatesAt.toISOString()}.`,
  )
}

async function checkMail({ config: { mail } }: Context): Promise<Result> {
  if (!mail) return skipped('SMTP_URL is not set, so notices are not sent by mail.')
  const mailer = await createMailer(mail)
  try {
    const problem = await mailer.verify()
    return problem === undefined
      ? ok('The mail server accepts the connection and the credentials.')
      : failed(`The mail server of SMTP_URL does not accept a connection: ${problem}.`)
  } finally {
    mailer.close()
  }
}

async function checkWebhooks({ opened }: Context): Promise<Result> {
  const { all, failing, disabled } = await webhookHealth((await opened).db)
  const warnings = [
    ...(failing > 0 ? [`${failing} of ${all} webhooks fail.`] : []),
    ...(disabled > 0 ? [`${disabled} of ${all} webhooks are disabled.`] : []),
    ...(failing + disabled > 0 ? ['Their deliveries say why (docs/webhooks.md).'] : []),
  ]
  return okUnless(warnings, `None of ${all} webhooks fails.`)
}

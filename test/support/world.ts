import type { FastifyInstance, InjectOptions } from 'fastify'
import pg from 'pg'
import type { Test } from 'tap'
import type { Limits } from '../../src/app.ts'
import { bootstrap } from '../../src/bootstrap.ts'
import { compose } from '../../src/compose.ts'
import type {
  CredentialVerifier,
  CredentialVerifierOptions,
} from '../../src/credentials/credential-verifier.ts'
import type { UsageRecorder } from '../../src/credentials/usage-recorder.ts'
import type { Db } from '../../src/db/database.ts'
import { readCursorKey } from '../../src/db/installation.ts'
import type { Dispatcher } from '../../src/dispatch/dispatcher.ts'
import type { FailureLimit } from '../../src/http/failed-credentials.ts'
import { createLogger, type LogLevel } from '../../src/http/log.ts'
import { prepareKeys } from '../../src/keys/maintenance.ts'
import type { Signing } from '../../src/keys/signing.ts'
import type { MailerOptions } from '../../src/mail/transport.ts'
import type { OutboundOptions } from '../../src/outbound/outbound.ts'
import type { TailOptions } from '../../src/revocations/tail.ts'
import { generateSecret } from '../../src/shared/secret.ts'
import type { Poller } from '../../src/signals/poll.ts'
import type { Rotations } from '../../src/tokens/rotate/rotations.ts'
import type { StaticSecret } from '../../src/tokens/static-secret/static-secret.ts'
import type { Sequencer } from '../../src/transparency-log/sequencer.ts'
import type { VerificationOptions } from '../../src/verification/admission.ts'
import { openDatabase } from './database.ts'
import { newMasterKey, recordPrivateKeys } from './master-key.ts'
import { recordLog, recordSecret } from './records.ts'

export const issuer = 'http://counterfoil.test'

export type Answer = { status: number; headers: Record<string, string>; body: any; text: string }
export type Ask = {
  token?: string
  headers?: Record<string, string>
  body?: unknown
  form?: Record<string, string> | string
}

/** Counterfoil on a database of its own, with a clock that stands still unless it is advanced, and an administrator. */
export type World = {
  app: FastifyInstance
  db: Db
  credentials: CredentialVerifier
  /** Uses are written only when the test flushes them. */
  usage: UsageRecorder
  /** Ends overlaps and records reuse only when the test flushes. */
  rotations: Rotations
  /** Delivers events only when the test flushes. */
  dispatcher: Dispatcher
  /** Appends events to the transparency log only when the test flushes. */
  sequencer: Sequencer
  /** Issuers are polled only when the test does it. */
  signals: Poller
  databaseUrl: string
  signing: Signing
  admin: string
  clock: { now: Date; advance(ms: number): void }
  /** Sends a request; `token` is the credential, by default the administrator's; '' sends none. */
  ask(method: string, url: string, ask?: Ask): Promise<Answer>
  /** Creates a token in `organization` and returns the response. */
  issue(input?: Record<string, unknown>, organization?: string): Promise<any>
  /** A management token with these permissions. */
  manager(scopes: string[], organization?: string, more?: Record<string, unknown>): Promise<string>
  introspect(token: string, caller?: string): Promise<any>
  /** Queries the database directly, bypassing the service. */
  sql(text: string, values?: unknown[]): Promise<pg.QueryResult>
}

export type WorldOptions = {
  /** The URL by which clients reach it. */
  issuer?: string
  withExamples?: boolean
  trustProxy?: string[]
  corsOrigins?: string[]
  limits?: Partial<Limits>
  /** No limit by default. */
  failureLimit?: FailureLimit
  verification?: VerificationOptions
  githubKeysUrl?: string
  staticSecret?: StaticSecret
  signing?: Partial<Signing>
  /** Which addresses it may call; by default only public ones. */
  outbound?: OutboundOptions
  /** By default nothing is told by mail. */
  mail?: MailerOptions
  /** The database of another world, whose administrator remains the only one. */
  databaseUrl?: string
  logLevel?: LogLevel
  draining?: AbortSignal
  /** Whether to serve the console. */
  console?: boolean
  /** The command that makes all management requests, without a credential. */
  command?: string
  /** Options of the credential verifier. */
  hot?: Partial<CredentialVerifierOptions>
  /** Options of the revocation feed; by default a stream ends with its first beat. */
  feed?: Partial<TailOptions>
}

export const day = 24 * 60 * 60 * 1000

export async function createWorld(
  t: Test,
  {
    hot,
    feed,
    databaseUrl: given,
    withExamples = true,
    signing: givenSigning,
    logLevel = 'trace',
    outbound = { allow: [] },
    ...options
  }: WorldOptions = {},
): Promise<World> {
  const pooled = hot?.listenUrl !== undefined
  const { db, url: databaseUrl } = await openDatabase(t, { url: given, prepares: !pooled })
  const clock = {
    now: new Date('2026-03-01T12:00:00.000Z'),
    advance(ms: number) {
      clock.now = new Date(clock.now.getTime() + ms)
    },
  }
  const secret = generateSecret('cfm')
  const admin = secret.reveal()
  recordSecret(admin)
  await bootstrap(db, clock.now, secret, { withExamples })
  const signing: Signing = { masterKeys: [newMasterKey()], alg: 'EdDSA', ...givenSigning }
  await prepareKeys(db, signing, clock.now)
  t.teardown(() => recordPrivateKeys(db, signing.masterKeys))
  const log = createLogger(logLevel, { write: recordLog })
  const onError = (err: Error) => log.warn({ err }, 'database connection lost')
  const { app, credentials, usage, rotations, dispatcher, sequencer, signals, close } = await compose({
    db,
    databaseUrl,
    log,
    onError,
    now: () => clock.now,
    issuer,
    cursorKey: await readCursorKey(db),
    staticSecret: undefined,
    outbound,
    trustProxy: [],
    corsOrigins: [],
    ...options,
    verifier: { cacheSize: 1000, ...hot },
    feed: { lifetimeMs: 0, ...feed },
    flushEvery: () => () => {},
    signing,
  })
  t.teardown(async () => {
    await app.close()
    await close()
  })
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 })
  t.teardown(() => pool.end())

  // A request sees the changes of earlier requests. What a test changes behind the service arrives as a notification:
  // `behind` is whether the next request has to wait for one, `always` whether all do, since the test can do so anytime.
  let behind = true
  let always = given !== undefined
  const reachable = <Thing>(thing: Thing): Thing => {
    always = true
    return thing
  }

  const ask: World['ask'] = async (method, url, { token = admin, headers = {}, body, form } = {}) => {
    // An Idempotency-Key opens the stored response, so it must not be stored or logged either.
    const key = headers['idempotency-key']?.replaceAll('"', '') ?? ''
    if (key.length >= 22) recordSecret(key)
    const request: InjectOptions = { method: method as 'GET', url, headers: { ...headers } }
    if (token) request.headers = { authorization: `Bearer ${token}`, ...headers }
    if (body !== undefined) {
      request.payload = typeof body === 'string' ? body : JSON.stringify(body)
      request.headers = { 'content-type': 'application/json', ...request.headers }
    }
    if (form !== undefined) {
      request.payload = new URLSearchParams(form).toString()
      request.headers = { 'content-type': 'application/x-www-form-urlencoded', ...request.headers }
    }
    if (behind || always) {
      behind = false
      await credentials.settled()
    }
    const response = await app.inject(request)
    const json = /\bjson\b/.test(String(response.headers['content-type'])) && response.payload !== ''
    const parsed = json ? response.json() : undefined
    if (parsed?.secret) recordSecret(parsed.secret)
    return {
      status: response.statusCode,
      headers: response.headers as Record<string, string>,
      body: parsed,
      text: response.payload,
    }
  }

  const issue: World['issue'] = async (input = {}, organization = 'default') => {
    const body = { name: 'A token', type: 'api', ...input }
    const answer = await ask('POST', `/v1/organizations/${organization}/tokens`, { body })
    if (answer.status !== 201) throw new Error(answer.text)
    return answer.body
  }

  return {
    app,
    get db() {
      return reachable(db)
    },
    get credentials() {
      return reachable(credentials)
    },
    get usage() {
      return reachable(usage)
    },
    get rotations() {
      return reachable(rotations)
    },
    get signals() {
      return reachable(signals)
    },
    get sequencer() {
      return reachable(sequencer)
    },
    get dispatcher() {
      return reachable(dispatcher)
    },
    get databaseUrl() {
      return reachable(databaseUrl)
    },
    signing,
    admin,
    clock,
    ask,
    issue,
    async manager(scopes, organization = 'default', more = {}) {
      return (await issue({ name: `Manager ${scopes}`, type: 'management', scopes, ...more }, organization))
        .secret
    },
    sql: (text, values) =>
      pool.query(text, values).finally(() => {
        behind = true
      }),
    async introspect(token, caller = admin) {
      return (await ask('POST', '/introspect', { token: caller, form: { token } })).body
    },
  }
}

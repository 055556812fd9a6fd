import { type Credential, canActivate, hasEnded, isGood, rejectionOf } from '../access/credential.ts'
import { isUnavailable } from '../db/database.ts'
import type { Durability } from '../db/installation.ts'
import { openPipeline } from '../db/pipeline.ts'
import { AppError } from '../shared/errors.ts'
import type { HashText, Secret } from '../shared/secret.ts'
import { createCache } from './cache.ts'
import { createImportedPrefixes } from './imported-prefixes.ts'
import { createLease, type Lease, type LeaseOptions, type LeaseStatus } from './lease.ts'
import { createLoader } from './loader.ts'
import { selectCredentials, selectImportedPrefixes, sendNotification } from './store.ts'

export type CredentialVerifierOptions = {
  databaseUrl: string
  /** Where to listen for notifications if the pooler in front of the database does not pass them on. */
  listenUrl?: string | undefined
  /** Whether beats wait for a synchronous standby, which they must if revocations do. */
  durability?: Durability
  /** The static secret (AUTH_SECRET), which is valid without being in the database. */
  staticSecret?: { hash: HashText; is(hash: Buffer): boolean; find(): Promise<Found> } | undefined
  /** How many credentials are cached; 0 turns the cache off. */
  cacheSize: number
  onError(error: Error): void
  /** Called when the lease is acquired or lost. */
  onLease?: LeaseOptions['onLease']
  /** Called when the database continues on another timeline. */
  onTimeline?: LeaseOptions['onTimeline']
  /** Called with the duration of every statement that looked up secrets. */
  onLookup?(ms: number): void
  /** Called with the round trip of every beat that came back. */
  onBeat?: LeaseOptions['onBeat']
  /** Called for every announced change. */
  onChange?(): void
  /** Makes a pending secret the current one of its token, unless it lapsed or was cancelled in the meantime. */
  activate?(hash: HashText, now: Date, from: string | null): Promise<void>
  /**
   * Called when a secret is presented that is unknown or whose overlap has ended, and not again while that is cached:
   * it may be the reuse of a superseded secret.
   */
  onEnded?(hash: HashText, now: Date, from: string | null): void
} & Pick<LeaseOptions, 'every'> &
  Partial<Pick<LeaseOptions, 'elapsed'>>

type Found = Credential | undefined

type Rejection = ReturnType<typeof rejectionOf> | 'malformed' | 'unknown'

export type Recalled = Credential | null | undefined

/** Checks every presented secret. */
export type CredentialVerifier = {
  /**
   * The credential of a secret if it is good now. Callers cannot tell why it is not. A pending secret becomes the
   * current one by being presented. `from` is the address that it was presented from, if known.
   */
  verify(secret: Secret, now: Date, from?: string | null): Found | Promise<Found>
  /** The same for many secrets, in their order, with at most one statement. */
  verifyAll(secrets: Secret[], now: Date): Promise<Found[]>
  /** The same from the cache only: null if the secret is not good, undefined if a lookup is needed. */
  recall(secret: Secret, now: Date): Recalled
  /** The same for many secrets that are not cached, in their order, with the addresses they were presented from. */
  lookUp(secrets: Secret[], now: Date, from?: (string | null)[]): Promise<Found[]>
  /** The same by hash, bypassing the cache. */
  verifyFresh(hash: HashText, now: Date): Promise<Found>
  /** Await this between a change and its response: afterwards this process has seen the change. */
  settled(): Promise<void>
  /**
   * The cheaper alternative to `settled` for a change that affects only this hash: no need to wait for a notification.
   */
  forget(hash: HashText): void
  /** The same for a change of the prefixes that imported secrets begin with. */
  forgetPrefixes(): void
  /** How many hashes were looked up in the database. */
  lookups(): number
  /** How often the cache had the answer, by whether the secret was good. */
  cacheHits(): { good: number; bad: number }
  /** How often a secret was not good, by reason. A caller that `/introspect` rejects is checked, and counted, twice. */
  rejections(): Record<Rejection, number>
  /** Why an answer just read from that server cannot be trusted, if so. */
  doubtNow: Lease['doubtNow']
  /** Why the database cannot be used for lookups, if so. */
  unready(): Promise<string | undefined>
  status(): LeaseStatus
  close(): Promise<void>
}

/** One that PostgreSQL is executing, one queued behind it, and one whose result is being read here. */
const batches = { atOnce: 3, size: 16 }

export function createCredentialVerifier(options: CredentialVerifierOptions): CredentialVerifier {
  const { databaseUrl, listenUrl, durability = 'local', cacheSize, staticSecret, onError } = options
  const { activate, onEnded } = options
  const prepares = listenUrl === undefined
  const pipelineOptions = { url: databaseUrl, connectMs: 2_000, queryMs: 2_000, prepares, onError }
  const pipeline = openPipeline(pipelineOptions)
  // Beats have a connection of their own, since a lookup can be blocked, for example by a migration.
  const beats = openPipeline(pipelineOptions)
  let lookups = 0
  const cacheHits = { good: 0, bad: 0 }
  const rejections: Record<Rejection, number> = {
    malformed: 0,
    unknown: 0,
    expired: 0,
    revoked: 0,
    not_yet_valid: 0,
    suspended: 0,
    superseded: 0,
    lapsed: 0,
  }
  const rejectDoubtful = async (server: string | null) => {
    const doubt = await lease.doubt(server)
    if (doubt === undefined) return
    pipeline.drop()
    throw new AppError('unavailable', doubt)
  }
  const ask = async (hashes: HashText[]) => {
    lookups += hashes.length
    const startedAt = performance.now()
    try {
      const { server, credentials: found } = await selectCredentials(pipeline, hashes)
      options.onLookup?.(performance.now() - startedAt)
      await rejectDoubtful(server)
      const asked = staticSecret && hashes.some((hash) => staticSecret.is(Buffer.from(hash, 'base64')))
      const fixed = asked && (await staticSecret.find())
      return fixed ? found.map((one, index) => (hashes[index] === fixed.hash ? fixed : one)) : found
    } catch (error) {
      if (!isUnavailable(error)) throw error
      // Report the error once for all requests that waited.
      onError(error as Error)
      throw new AppError('unavailable', 'The database does not respond. Try again shortly.')
    }
  }
  const lookUpBatched = createLoader(ask, batches)
  const memory =
    cacheSize > 0
      ? createCache(lookUpBatched, { size: cacheSize, mayRemember: () => lease.holds() })
      : undefined
  const imported = createImportedPrefixes(
    async () => {
      const { server, prefixes } = await selectImportedPrefixes(pipeline)
      await rejectDoubtful(server)
      return prefixes
    },
    () => lease.holds(),
  )
  const forgetAll = () => {
    memory?.forgetAll()
    imported.forget()
  }
  const lease = createLease({
    listenUrl: listenUrl ?? databaseUrl,
    notify: (channel, payload) => sendNotification(beats, channel, payload, durability),
    changed: (what) => {
      if (what === 'all') forgetAll()
      else if (what === 'imported-prefixes') imported.forget()
      else if (what !== 'static-secret') memory?.forget(what as HashText)
      else if (staticSecret) memory?.forget(staticSecret.hash)
      options.onChange?.()
    },
    lost() {
      forgetAll()
      // Reconnect by name, as the listener does.
      beats.drop()
    },
    onLease: options.onLease ?? (() => {}),
    onTimeline: options.onTimeline ?? (() => {}),
    onBeat: options.onBeat ?? (() => {}),
    onError,
    elapsed: options.elapsed ?? (() => performance.now()),
    every: options.every,
  })
  const find = memory?.lookUp ?? lookUpBatched

  function recall(secret: Secret, now: Date, from: string | null = null): Recalled {
    const known = memory?.recall(secret.hashText())
    // A cached secret was issued, so its checksum need not be verified.
    if (known) {
      if (isGood(known, now)) {
        cacheHits.good += 1
        return known
      }
      if (canActivate(known, now)) return undefined
      if (hasEnded(known, now)) onEnded?.(known.hash, now, from)
      cacheHits.bad += 1
      rejections[rejectionOf(known, now)] += 1
      return null
    }
    if (known === null) {
      cacheHits.bad += 1
      rejections.unknown += 1
      return null
    }
    if (!secret.isMistyped() || imported.mayInclude(secret)) return undefined
    rejections.malformed += 1
    return null
  }

  async function lookUp(secrets: Secret[], now: Date, from: (string | null)[] = []) {
    const hashes = secrets.map((secret) => secret.hashText())
    let found = await find(hashes)
    if (found.some((credential) => credential && canActivate(credential, now))) {
      await activateAll(found, now, from)
      found = await lookUpBatched(hashes)
    }
    return found.map((credential, place) => {
      if (credential && isGood(credential, now)) return credential
      rejections[credential ? rejectionOf(credential, now) : 'unknown'] += 1
      if (!credential || hasEnded(credential, now))
        onEnded?.(hashes[place] as HashText, now, from[place] ?? null)
      return undefined
    })
  }

  /** A secret is pending once, so it costs only these callers a transaction. */
  async function activateAll(found: Found[], now: Date, from: (string | null)[]): Promise<void> {
    await Promise.all(
      found.map(async (credential, place) => {
        if (!credential || !canActivate(credential, now)) return
        await activate?.(credential.hash, now, from[place] ?? null)
        memory?.forget(credential.hash)
      }),
    )
  }

  return {
    verify(secret, now, from = null) {
      const known = recall(secret, now, from)
      return known === undefined
        ? lookUp([secret], now, [from]).then(([found]) => found)
        : (known ?? undefined)
    },
    async verifyAll(secrets, now) {
      const known = secrets.map((secret) => recall(secret, now))
      const missing = secrets.filter((_, index) => known[index] === undefined)
      const found = (await lookUp(missing, now)).values()
      return known.map((one) => (one === undefined ? found.next().value : (one ?? undefined)))
    },
    recall,
    lookUp,
    verifyFresh: async (hash, now) => ifGood((await lookUpBatched([hash]))[0], now),
    lookups: () => lookups,
    cacheHits: () => cacheHits,
    rejections: () => rejections,
    doubtNow: lease.doubtNow,
    unready: lease.unready,
    status: lease.status,
    settled: memory ? lease.settled : async () => {},
    forget: memory?.forget ?? (() => {}),
    forgetPrefixes: imported.forget,
    async close() {
      lease.close()
      await Promise.all([pipeline.end(), beats.end()])
    },
  }
}

function ifGood(credential: Found, now: Date): Found {
  return credential && isGood(credential, now) ? credential : undefined
}

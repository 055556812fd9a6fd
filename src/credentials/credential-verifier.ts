import { isUnavailable } from '../db/database.ts'
import type { Durability } from '../db/installation.ts'
import { openPipeline } from '../db/pipeline.ts'
import { AppError } from '../errors.ts'
import type { HashText, Secret } from '../tokens/secret.ts'
import { createCache } from './cache.ts'
import { type Credential, isGood } from './credential.ts'
import { createLease, type Lease, type LeaseOptions, type LeaseStatus } from './lease.ts'
import { createLoader } from './loader.ts'
import { selectCredentials, sendNotification } from './store.ts'

export type CredentialVerifierOptions = {
  databaseUrl: string
  /** Where notifications come from, if a pooler that cannot pass them on stands before the database. */
  listenUrl?: string | undefined
  /** Whether beats wait for a synchronous standby, as revocations do then. */
  durability?: Durability
  /** The one secret that is good without being in the database. */
  environment?: { hash: HashText; is(hash: Buffer): boolean; find(): Promise<Found> } | undefined
  /** How many credentials are kept in memory; 0 asks the database every time. */
  cacheSize: number
  onError(error: Error): void
  /** Told when answers begin and cease to come from memory. */
  onLease?: LeaseOptions['onLease']
  /** Told when the database continues on another timeline. */
  onTimeline?: LeaseOptions['onTimeline']
  /** Told whenever a change was announced. */
  onChange?(): void
} & Pick<LeaseOptions, 'every'> &
  Partial<Pick<LeaseOptions, 'elapsed'>>

type Found = Credential | undefined

export type Recalled = Credential | null | undefined

/** Where every presented secret is checked. */
export type CredentialVerifier = {
  /** The credential behind a secret, if it is good now. Every reason against it looks the same from here. */
  verify(secret: Secret, now: Date): Found | Promise<Found>
  /** The same of many, in their order, with at most one statement. */
  verifyAll(secrets: Secret[], now: Date): Promise<Found[]>
  /** The same without the database: null if it is not good, undefined if only the database can tell. */
  recall(secret: Secret, now: Date): Recalled
  /** The same of many that only the database can tell, in their order. */
  lookUp(secrets: Secret[], now: Date): Promise<Found[]>
  /** The same by its hash, and past what is in memory. */
  verifyFresh(hash: HashText, now: Date): Promise<Found>
  /** To be awaited between a change and the answer to who asked for it: from then on this process knows of it. */
  settled(): Promise<void>
  /** The same where the change was to what this hash stands for and to nothing else: no news has to be waited for. */
  forget(hash: HashText): void
  /** How many hashes the database was asked for. */
  lookups(): number
  /** Why what was just read on that server is not to be believed, if it is not. */
  doubtNow: Lease['doubtNow']
  /** Why the database cannot be asked, if it cannot. */
  unready(): Promise<string | undefined>
  status(): LeaseStatus
  close(): Promise<void>
}

/** One that PostgreSQL is at, one that waits for it, and one that is being read or answered here. */
const batches = { atOnce: 3, size: 16 }

export function createCredentialVerifier(options: CredentialVerifierOptions): CredentialVerifier {
  const { databaseUrl, listenUrl, durability = 'local', cacheSize, environment, onError } = options
  const prepares = listenUrl === undefined
  const pipelineOptions = { url: databaseUrl, connectMs: 2_000, queryMs: 2_000, prepares, onError }
  const pipeline = openPipeline(pipelineOptions)
  // A connection of their own, since a lookup can be kept waiting, by a migration for example.
  const beats = openPipeline(pipelineOptions)
  let lookups = 0
  const ask = async (hashes: HashText[]) => {
    lookups += hashes.length
    try {
      const { server, credentials: found } = await selectCredentials(pipeline, hashes)
      const doubt = await lease.doubt(server)
      if (doubt !== undefined) {
        pipeline.drop()
        throw new AppError('unavailable', doubt)
      }
      const asked = environment && hashes.some((hash) => environment.is(Buffer.from(hash, 'base64')))
      const fixed = asked && (await environment.find())
      return fixed ? found.map((one, place) => (hashes[place] === fixed.hash ? fixed : one)) : found
    } catch (error) {
      if (!isUnavailable(error)) throw error
      // Once for all who asked.
      onError(error as Error)
      throw new AppError('unavailable', 'The database does not answer. Try again shortly.')
    }
  }
  const askTogether = createLoader(ask, batches)
  const memory =
    cacheSize > 0
      ? createCache(askTogether, { size: cacheSize, mayRemember: () => lease.holds() })
      : undefined
  const forgetAll = memory?.forgetAll ?? (() => {})
  const lease = createLease({
    listenUrl: listenUrl ?? databaseUrl,
    notify: (channel, payload) => sendNotification(beats, channel, payload, durability),
    changed: (what) => {
      if (what === 'all') forgetAll()
      else if (what !== 'static-secret') memory?.forget(what as HashText)
      else if (environment) memory?.forget(environment.hash)
      options.onChange?.()
    },
    lost() {
      forgetAll()
      // Made anew by name, as the listening one is.
      beats.drop()
    },
    onLease: options.onLease ?? (() => {}),
    onTimeline: options.onTimeline ?? (() => {}),
    onError,
    elapsed: options.elapsed ?? (() => performance.now()),
    every: options.every,
  })
  const find = memory?.lookUp ?? askTogether

  function recall(secret: Secret, now: Date): Recalled {
    const known = memory?.recall(secret.hashText())
    // What is remembered was issued, so that there is no need to look at its checksum.
    if (known) return ifGood(known, now) ?? null
    return known === null || secret.isMistyped() ? null : undefined
  }

  async function lookUp(secrets: Secret[], now: Date) {
    const found = await find(secrets.map((secret) => secret.hashText()))
    return found.map((credential) => ifGood(credential, now))
  }

  return {
    verify(secret, now) {
      const known = recall(secret, now)
      return known === undefined ? lookUp([secret], now).then(([found]) => found) : (known ?? undefined)
    },
    async verifyAll(secrets, now) {
      const known = secrets.map((secret) => recall(secret, now))
      const missing = secrets.filter((_, index) => known[index] === undefined)
      const found = (await lookUp(missing, now)).values()
      return known.map((one) => (one === undefined ? found.next().value : (one ?? undefined)))
    },
    recall,
    lookUp,
    verifyFresh: async (hash, now) => ifGood((await askTogether([hash]))[0], now),
    lookups: () => lookups,
    doubtNow: lease.doubtNow,
    unready: lease.unready,
    status: lease.status,
    settled: memory ? lease.settled : async () => {},
    forget: memory?.forget ?? (() => {}),
    async close() {
      lease.close()
      await Promise.all([pipeline.end(), beats.end()])
    },
  }
}

function ifGood(credential: Found, now: Date): Found {
  return credential && isGood(credential, now) ? credential : undefined
}

import { type KeyObject, randomUUID } from 'node:crypto'
import type { Db } from '../db/database.ts'
import { unsealText } from '../keys/sealed.ts'
import { OutboundError } from '../outbound/error.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { AppError } from '../shared/errors.ts'
import type { Interval } from '../shared/interval.ts'
import { handleEvent, type ReceiveContext } from './receive.ts'
import * as store from './store.ts'
import { claimed } from './verify.ts'

export type PollerOptions = ReceiveContext & {
  outbound: Outbound
  masterKeys: readonly KeyObject[]
  now: () => Date
  every: Interval
  onError(error: Error): void
}

/** Fetches the events of issuers that do not push them (RFC 8936). */
export type Poller = {
  /** Polls the streams that are due, one after another, unless enough polls are in progress. */
  poll(): Promise<void>
  close(): Promise<void>
}

const tickMs = 2_000
const everyMs = 10_000
const longestWaitMs = 5 * 60_000
/** A slow transmitter delays one round; the others continue with the next tick. */
const maxRounds = 5
/** Longer than a poll can take: after that, another instance may poll. */
const claimMs = 2 * 60_000
const maxEvents = 50
/** A transmitter that always has more is polled again after the next stream. */
const maxRequests = 20

export function createPoller(db: Db, options: PollerOptions): Poller {
  const { now, every, onError } = options
  const rounds = new Set<Promise<void>>()
  let closed = false

  async function round(): Promise<void> {
    while (!closed) {
      const found = await store.claimDue(db, now(), new Date(now().getTime() + claimMs))
      if (!found) return
      const { pollFailures } = found.stream
      const problem = await pollOne(db, found, options).then(
        () => null,
        (error: unknown) => problemOf(error, onError),
      )
      const failures = problem === null ? 0 : pollFailures + 1
      const wait = Math.min(everyMs * 2 ** Math.min(failures, 10), longestWaitMs)
      await store.updateStream(db, found.stream, {
        pollAt: new Date(now().getTime() + wait),
        polledAt: now(),
        pollFailures: failures,
        pollError: problem,
      })
    }
  }

  async function poll(): Promise<void> {
    if (rounds.size >= maxRounds) return
    const started = round()
    rounds.add(started)
    await started.finally(() => rounds.delete(started))
  }
  const stop = every(tickMs, () => poll().catch(onError))
  return {
    poll,
    async close() {
      closed = true
      stop()
      await Promise.allSettled(rounds)
    },
  }
}

/** The error in the stream: why the issuer could not be polled. Other errors are ours. */
function problemOf(error: unknown, onError: (error: Error) => void): string {
  if (error instanceof OutboundError) return `poll_url ${error.message}`
  if (error instanceof AppError) return error.message
  onError(error as Error)
  return 'An unexpected error occurred.'
}

type Answers = { ack: string[]; setErrs: Record<string, { err: string; description: string }> }

async function pollOne(
  db: Db,
  { stream, issuer }: store.IssuerStream,
  { outbound, masterKeys, now, keysOf }: PollerOptions,
): Promise<void> {
  const authorization = await authorizationOf(stream, masterKeys)
  let answers: Answers = { ack: [], setErrs: {} }
  for (let request = 0; request < maxRequests; request++) {
    const isLast = request === maxRequests - 1
    const response = await outbound.postJson(stream.pollUrl ?? '', stream.organizationId, {
      headers: authorization === undefined ? {} : { authorization },
      body: { maxEvents: isLast ? 0 : maxEvents, returnImmediately: true, ...answers },
    })
    const { sets, more } = responseIn(response)
    answers = { ack: [], setErrs: {} }
    for (const [jti, token] of inOrder(sets)) {
      const delivery = { requestId: randomUUID(), ip: null, now: now() }
      try {
        if (claimed(token).jti !== jti) throw new AppError('invalid_request', 'It has another jti.')
        await handleEvent(db, { stream, issuer }, token, { delivery, context: { keysOf } })
        answers.ack.push(jti)
      } catch (error) {
        // Neither acknowledged nor rejected, it is delivered again.
        if (!(error instanceof AppError) || error.code === 'unavailable') throw error
        answers.setErrs[jti] = { err: error.setError ?? 'invalid_request', description: error.message }
      }
    }
    const isAnswered = answers.ack.length === 0 && Object.keys(answers.setErrs).length === 0
    if (isAnswered && !more) return
  }
}

async function authorizationOf(
  { pollAuthorization, issuerId }: store.IssuerStream['stream'],
  masterKeys: readonly KeyObject[],
): Promise<string | undefined> {
  if (pollAuthorization === null) return undefined
  const text = await unsealText(pollAuthorization, issuerId, masterKeys)
  if (text !== undefined) return text
  throw new AppError('unavailable', 'No master key opens poll_authorization: set it again.')
}

function responseIn(response: unknown): { sets: [jti: string, token: string][]; more: boolean } {
  const { sets, moreAvailable } = (response ?? {}) as { sets?: unknown; moreAvailable?: unknown }
  if (typeof sets !== 'object' || sets === null || Array.isArray(sets))
    throw new OutboundError('does not respond with sets')
  const tokens = Object.entries(sets).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  )
  return { sets: tokens, more: moreAvailable === true && tokens.length > 0 }
}

/** The object has no order, but the event of a return must be handled after that of the departure. */
function inOrder(sets: [jti: string, token: string][]): [jti: string, token: string][] {
  return sets
    .map((entry) => ({ entry, iat: issuedAt(entry[1]) }))
    .sort((a, b) => a.iat - b.iat)
    .map(({ entry }) => entry)
}

function issuedAt(token: string): number {
  try {
    return claimed(token).iat
  } catch {
    return 0
  }
}

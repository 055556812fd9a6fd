import { clearTimeout, setTimeout } from 'node:timers'
import { setTimeout as delay } from 'node:timers/promises'
import { createParser } from 'eventsource-parser'
import type { Revocation } from './introspection.ts'

export type FeedOptions = {
  url: string
  authorization: string
  fetch: typeof fetch
  /** A monotonic clock in milliseconds. */
  elapsed(): number
  signal: AbortSignal
  /** Everything committed until then, in `elapsed` time, has been reported. */
  onBeat(knownUntil: number): void
  onRevocation(revocation: Revocation): void
  /** Earlier events are unknown. */
  onReset(): void
  /** The feed broke off and is being reconnected. */
  onLost(error: Error): void
}

/** A connection without a beat for this long is closed: the other end may be gone. */
const silenceMs = 5_000
const firstDelayMs = 200
const longestDelayMs = 30_000

/**
 * Follows the revocation feed until the signal aborts. Events that occur while the connection is lost are delivered
 * after it is reestablished.
 */
export async function followFeed(options: FeedOptions): Promise<void> {
  const { signal, onLost } = options
  let failures = 0
  let lastEventId: string | undefined
  while (!signal.aborted) {
    const connection = new AbortController()
    try {
      await readStream(options, connection, lastEventId, (id) => {
        lastEventId = id
        failures = 0
      })
      onLost(new Error('the revocation feed ended'))
    } catch (error) {
      if (!signal.aborted) onLost(error as Error)
    } finally {
      connection.abort()
    }
    await delay(delayAfter(failures), undefined, { signal }).catch(() => {})
    failures += 1
  }
}

async function readStream(
  { url, authorization, fetch, elapsed, signal, ...tell }: FeedOptions,
  connection: AbortController,
  lastEventId: string | undefined,
  onId: (id: string) => void,
): Promise<void> {
  const alarm = setTimeout(() => connection.abort(new Error('the revocation feed is silent')), silenceMs)
  const requestedAt = elapsed()
  try {
    const response = await fetch(`${url}/v1/revocations/stream`, {
      headers: {
        authorization,
        accept: 'text/event-stream',
        ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
      },
      redirect: 'error',
      signal: AbortSignal.any([signal, connection.signal]),
    })
    if (response.status !== 200 || !response.body) {
      await response.body?.cancel()
      throw new Error(`the revocation feed responded with status ${response.status}`)
    }
    const parser = createParser({
      onEvent({ event, id, data }) {
        if (event === 'revocation') tell.onRevocation(JSON.parse(data))
        else if (event === 'reset') tell.onReset()
        else if (event === 'beat') {
          alarm.refresh()
          tell.onBeat(requestedAt + JSON.parse(data).age_ms)
        }
        // Acknowledge the event only after it was handled.
        if (id !== undefined) onId(id)
      },
    })
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) parser.feed(text)
  } finally {
    clearTimeout(alarm)
  }
}

/** Exponential backoff with jitter, so that clients that were cut off together do not reconnect together. */
function delayAfter(failures: number): number {
  return Math.min(firstDelayMs * 2 ** failures, longestDelayMs) * (0.5 + Math.random() / 2)
}

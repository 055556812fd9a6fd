import { createHash } from 'node:crypto'
import { createAsk } from './ask.ts'
import { VerificationError } from './errors.ts'
import { followFeed } from './feed.ts'
import type { Answer, Introspection, Revocation } from './introspection.ts'
import { createMemory } from './memory.ts'

export { VerificationError } from './errors.ts'
export type { Introspection, Revocation } from './introspection.ts'

/** A management token with the permission `tokens:introspect`, by itself or with its id as an OAuth client. */
export type VerifierCredential = { token: string } | { clientId: string; clientSecret: string }

export type VerifierOptions = VerifierCredential & {
  /** The base URL of Counterfoil, such as `https://tokens.example`. */
  url: string
  /** How long an answer is used while the feed does not cover it, in milliseconds; 1,000 by default. */
  ttlMs?: number
  /** The longest time an answer is used while the feed does; 300,000 by default. */
  feedTtlMs?: number
  /** How many tokens are cached; 10,000 by default. */
  cacheSize?: number
  /** The timeout of a request to Counterfoil; 2,000 by default. */
  timeoutMs?: number
  /** Whether to follow the revocation feed; true by default. */
  feed?: boolean
  /** Replaces the global `fetch`. */
  fetch?: typeof fetch
  /** Called for every revocation, for example to close connections that were opened with a token. */
  onRevocation?(revocation: Revocation): void
  /** Called when the feed is connected, and when its connection is lost. */
  onFeed?(state: 'followed' | 'lost', error?: Error): void
  /** A monotonic clock in milliseconds; for tests. */
  elapsed?(): number
}

/** The conditions on a token. */
export type Demand = {
  /** All of these scopes: an array, or separated by spaces. */
  scope?: string | readonly string[] | undefined
  /** Any of these. A token without an audience is rejected. */
  audience?: string | readonly string[] | undefined
}

export type Verifier = {
  /**
   * The introspection of the token. Throws a `VerificationError` if it does not meet the conditions, or if its state
   * cannot be determined.
   */
  verify(token: string, demand?: Demand): Promise<Introspection>
  /** Stops the feed and aborts pending requests. */
  close(): void
}

/** Counterfoil's tokens are never longer. */
const longestToken = 8192

/** The feed covers answers for this long after its last beat. */
const trustMs = 2_000

export function createVerifier(options: VerifierOptions): Verifier {
  const { ttlMs = 1_000, feedTtlMs = 300_000, cacheSize = 10_000, timeoutMs = 2_000 } = options
  const { fetch = globalThis.fetch, elapsed = () => performance.now(), onRevocation, onFeed } = options
  const url = options.url.replace(/(?<!\/)\/+$/, '')
  const { signal, abort } = createAbort()
  const memory = createMemory({ size: cacheSize, ttlMs, feedTtlMs, timeoutMs, elapsed })
  const ask = createAsk({ url, authorization: authorizationOf(options), timeoutMs, fetch, signal })
  if (options.feed !== false) follow()

  function follow(): void {
    const bearer = 'token' in options ? options.token : options.clientSecret
    let followed = false
    void followFeed({
      url,
      authorization: `Bearer ${bearer}`,
      fetch,
      elapsed,
      signal,
      onBeat(knownUntil) {
        memory.trust(knownUntil + trustMs)
        if (!followed) onFeed?.('followed')
        followed = true
      },
      onRevocation(revocation) {
        memory.tell(revocation)
        // Errors thrown by the callback must not affect the feed.
        if (onRevocation) queueMicrotask(() => onRevocation(revocation))
      },
      onReset: memory.reset,
      onLost(error) {
        followed = false
        onFeed?.('lost', error)
      },
    })
  }

  async function answerTo(token: string): Promise<Answer> {
    const hash = createHash('sha256').update(token).digest('base64url')
    const known = memory.find(hash)
    if (known) return known
    const askedAt = elapsed()
    const answer = await ask(token)
    memory.keep(hash, answer, askedAt)
    return answer
  }

  return {
    async verify(token, demand = {}) {
      if (signal.aborted) throw new VerificationError('unavailable', 'The verifier is closed.')
      if (token === '' || token.length > longestToken) throw invalid()
      const answer = await answerTo(token)
      if (!answer.active) throw invalid()
      if (answer.exp !== undefined && answer.exp * 1000 <= Date.now()) throw invalid()
      return fit(answer, demand)
    },
    close: abort,
  }
}

function fit(token: Introspection, { scope, audience }: Demand): Introspection {
  const meant = audience === undefined || [audience].flat().some((name) => token.aud?.includes(name))
  if (!meant) throw new VerificationError('invalid_token', 'The token is for another audience.')
  const held = list(token.scope)
  if (scope === undefined || list(scope).every((name) => held.includes(name))) return token
  throw new VerificationError('insufficient_scope', 'The token lacks a scope.')
}

function list(value: string | readonly string[]): readonly string[] {
  return typeof value === 'string' ? value.split(' ').filter(Boolean) : value
}

function invalid(): VerificationError {
  return new VerificationError('invalid_token', 'The token is unknown, expired or revoked.')
}

/** RFC 6749 §2.3.1: id and secret are form-encoded before they are joined. */
function authorizationOf(credential: VerifierCredential): string {
  if ('token' in credential) return `Bearer ${credential.token}`
  const { clientId, clientSecret } = credential
  const pair = `${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`
  return `Basic ${Buffer.from(pair).toString('base64')}`
}

function createAbort(): { signal: AbortSignal; abort(): void } {
  const controller = new AbortController()
  return { signal: controller.signal, abort: () => controller.abort() }
}

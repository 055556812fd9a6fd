import { createHash } from 'node:crypto'
import { createAsk } from './ask.ts'
import { VerificationError } from './errors.ts'
import { followFeed } from './feed.ts'
import type { Answer, Introspection, Revocation } from './introspection.ts'
import { createMemory } from './memory.ts'

export { VerificationError } from './errors.ts'
export type { Introspection, Revocation } from './introspection.ts'

/** A management token with the permission `tokens:introspect`, alone or with its id as an OAuth client. */
export type VerifierCredential = { token: string } | { clientId: string; clientSecret: string }

export type VerifierOptions = VerifierCredential & {
  /** Where Counterfoil is, such as `https://tokens.example`. */
  url: string
  /** For how long an answer is used while the feed does not vouch for it, in milliseconds: 1,000 unless given. */
  ttlMs?: number
  /** For how long at the most one is used while the feed does: 300,000 unless given. */
  feedTtlMs?: number
  /** How many tokens are remembered: 10,000 unless given. */
  cacheSize?: number
  /** How long Counterfoil may take to answer: 2,000 unless given. */
  timeoutMs?: number
  /** Whether to follow the revocation feed, as is done unless this is false. */
  feed?: boolean
  /** In place of the global one. */
  fetch?: typeof fetch
  /** Told of everything that stops being good, for what is kept open on the strength of a token. */
  onRevocation?(revocation: Revocation): void
  /** Told when the feed begins to be followed, and when it broke off and is tried again. */
  onFeed?(state: 'followed' | 'lost', error?: Error): void
  /** Milliseconds that only ever go forward; for tests. */
  elapsed?(): number
}

/** What a token has to be good for. */
export type Demand = {
  /** All of these scopes: an array, or separated by spaces. */
  scope?: string | readonly string[] | undefined
  /** One of these. A token that names no audience is for none. */
  audience?: string | readonly string[] | undefined
}

export type Verifier = {
  /** What the token stands for. Throws a `VerificationError` if it is not good for what is demanded, or if that cannot be known. */
  verify(token: string, demand?: Demand): Promise<Introspection>
  /** Ends the feed and all that is under way. */
  close(): void
}

/** No token of Counterfoil's is longer. */
const longestToken = 8192

/** How long after the last beat nothing may have been missed. */
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
      ...{ url, authorization: `Bearer ${bearer}`, fetch, elapsed, signal },
      onBeat(knownUntil) {
        memory.trust(knownUntil + trustMs)
        if (!followed) onFeed?.('followed')
        followed = true
      },
      onRevocation(revocation) {
        memory.tell(revocation)
        // What is thrown there is no matter of the feed.
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

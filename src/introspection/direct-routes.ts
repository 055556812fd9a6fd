import type { IncomingMessage, ServerResponse } from 'node:http'
import { holds } from '../access/caller.ts'
import type { Deps } from '../deps.ts'
import type { InProgress } from '../http/overload.ts'
import { type Presented, presentedInAuthorization } from '../http/presented.ts'
import { Secret } from '../tokens/secret.ts'
import { type Credential, isGoodFrom } from './credential.ts'
import { decide } from './introspect.ts'
import { createAnswers } from './schema.ts'

export type DirectOptions = Pick<Deps, 'credentials' | 'usage' | 'now' | 'issuer'> & {
  inProgress: InProgress
  isClosing(): boolean
  addressOf(request: IncomingMessage): string | null
  /** Told of every answer, and when its request came. */
  answered(active: boolean, startedAt: number): void
}

/**
 * Answers what nearly every resource server sends to `/introspect` without Fastify, which costs a third of the time
 * where the answer is in memory. Whatever is out of the ordinary, errors among it, is left to `ordinarily`, with what is
 * known of it so far `putBy`; the answers are the same either way.
 */
export function introspectDirectly(options: DirectOptions) {
  const { credentials, usage, now, issuer, inProgress, isClosing, addressOf, answered } = options
  const answerOf = createAnswers(issuer)

  return (request: IncomingMessage, response: ServerResponse, ordinarily: () => void): void => {
    const startedAt = performance.now()
    const presented = isClosing() ? undefined : callerOf(request)
    if (!presented) return void ordinarily()
    let body: Buffer | undefined
    const leave = (error?: Error) => {
      known.set(request, { body, error })
      ordinarily()
    }

    const answer = (principal: Credential | undefined, found: Credential | undefined, at: Date) => {
      const { clientId } = presented
      const ip = addressOf(request)
      const isKnown = principal && (clientId === undefined || clientId === principal.tokenId)
      if (!isKnown || !isGoodFrom(principal, ip) || !holds(principal, 'tokens:introspect') || isClosing()) {
        return void leave()
      }
      usage.note(principal, at, ip)
      const credential = decide(usage, principal, found, at, null)
      const text = answerOf(credential)
      response.writeHead(200, [...headers, String(text.length)])
      response.end(text, 'latin1')
      answered(credential !== undefined, startedAt)
    }

    request.on('data', (chunk: Buffer) => {
      body = body ? Buffer.concat([body, chunk]) : chunk
    })
    request.on('end', () => {
      const token = body && onlyToken.exec(body.toString('latin1'))?.[1]
      if (!token || !inProgress.enter()) return void leave()
      const at = now()
      const principal = credentials.verify(presented.secret, at)
      const found = principal && credentials.verify(new Secret(token), at)
      if (principal instanceof Promise || found instanceof Promise) {
        // Both are looked up at the same time.
        Promise.all([principal, found])
          .finally(inProgress.leave)
          .then(([caller, credential]) => answer(caller, credential, at), leave)
      } else {
        inProgress.leave()
        answer(principal, found, at)
      }
    })
  }
}

type Known = { body: Buffer | undefined; error: Error | undefined }

const known = new WeakMap<IncomingMessage, Known>()

/** Of a request that was left: its body, if that has been read, and why it cannot be answered, if that is certain. */
export function putBy(request: IncomingMessage): Known | undefined {
  return known.get(request)
}

const headers = [
  ...['content-type', 'application/json; charset=utf-8'],
  ...['cache-control', 'no-store'],
  ...['x-content-type-options', 'nosniff'],
  ...['vary', 'Accept'],
  'content-length',
]
const onlyToken = /^token=([A-Za-z0-9._~-]+)(?:&token_type_hint=[a-z_]{1,50})?$/
const form = /^application\/x-www-form-urlencoded(; ?charset=utf-8)?$/i
const longest = 8192

/** The caller's credential, if neither the header fields nor the URL ask for anything else. */
function callerOf({ method, url, rawHeaders }: IncomingMessage): Presented | undefined {
  if (url !== '/introspect' || method !== 'POST') return undefined
  let authorization: string | undefined
  let isForm: boolean | undefined
  let length = 0
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase()
    const value = rawHeaders[i + 1] ?? ''
    if (name === 'authorization') {
      if (authorization !== undefined) return undefined
      authorization = value
    } else if (name === 'content-type') {
      if (isForm !== undefined) return undefined
      isForm = form.test(value)
    } else if (name === 'content-length') length = Number(value)
    else if (name === 'accept' && value !== '*/*' && value !== 'application/json') return undefined
    // What is asked for by a page in a browser gets more header fields.
    else if (name === 'origin') return undefined
  }
  if (!isForm || authorization === undefined || length === 0 || length > longest) return undefined
  return presentedInAuthorization(authorization, 'client')
}

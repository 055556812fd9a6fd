import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { LRUCache } from 'lru-cache'
import type { Slots } from '../access/concurrency.ts'
import type { Credential } from '../access/credential.ts'
import { presentedInAuthorization } from '../authentication/presented-credential.ts'
import type { Deps } from '../http/deps.ts'
import { contextOf, noteRequestId } from '../http/tracing.ts'
import { Secret } from '../shared/secret.ts'
import { tracing } from '../shared/tracing.ts'
import { type Decision, microbatch, type Question } from './microbatch.ts'
import { presentCredential } from './schema.ts'

export type FastPathOptions = Pick<Deps, 'credentials' | 'usage' | 'now' | 'issuer'> & {
  slots: Slots
  draining: AbortSignal
  addressOf(request: IncomingMessage): string | null
  /** Called for every response, with the arrival time of its request. */
  answered(active: boolean, startedAt: number): void
  /** Called for every request whose client disconnected before the response. */
  left(startedAt: number): void
}

type Asked = Question & {
  request: IncomingMessage
  response: ServerResponse
  body: Buffer | undefined
  startedAt: number
}

/**
 * Answers the common form of `/introspect` requests without Fastify, which for cached tokens takes a third of the time.
 * Everything unusual, including errors, is passed to `ordinarily`, with what is known so far (`handedOver`). The
 * responses are the same either way.
 */
export function introspectionFastPath(
  options: FastPathOptions,
  ordinarily: RequestListener,
): RequestListener {
  const { credentials, usage, now, issuer, slots, draining, addressOf, answered, left } = options
  const answerOf = createAnswers(issuer)
  const leave = ({ request, response, body, startedAt }: Omit<Asked, keyof Question>, error?: Error) => {
    // Fastify would wait for a response to close that is already closed.
    if (response.destroyed) return left(startedAt)
    known.set(request, { body, error })
    ordinarily(request, response)
  }

  // One after the other: writing to a connection wakes its client, which is most of the cost of a write, and is
  // unnecessary for a client that the previous response has already woken.
  const answer = (decisions: Decision<Asked>[]) => {
    const texts = decisions.map(({ credential }) => answerOf(credential))
    const closing = draining.aborted ? ['connection', 'close'] : []
    for (const [index, { asked, credential }] of decisions.entries()) {
      if (asked.response.destroyed) {
        left(asked.startedAt)
        continue
      }
      const text = texts[index] ?? ''
      const requestId = randomUUID()
      if (tracing) noteRequestId(asked.request, requestId)
      asked.response.writeHead(200, [...headers, String(text.length), 'x-request-id', requestId, ...closing])
      asked.response.end(text, 'latin1')
      answered(credential !== undefined, asked.startedAt)
    }
  }

  const ask = microbatch<Asked>({
    credentials,
    usage,
    now,
    slots,
    answer,
    leave,
    presentedIn: (authorization) => presentedInAuthorization(authorization, 'client'),
    addressOf: ({ request }) => addressOf(request),
    contextOf: ({ request }) => contextOf(request),
  })

  return (request: IncomingMessage, response: ServerResponse): void => {
    const authorization = authorizationOf(request)
    if (authorization === undefined) return void ordinarily(request, response)
    const startedAt = performance.now()
    let first: Buffer | undefined
    let chunks: Buffer[] | undefined
    request.on('data', (chunk: Buffer) => {
      if (!first) first = chunk
      else if (chunks) chunks.push(chunk)
      else chunks = [first, chunk]
    })
    request.on('aborted', () => left(startedAt))
    request.on('end', () => {
      // Concatenated once: a body may arrive byte by byte.
      const body = chunks ? Buffer.concat(chunks) : first
      const token = body && onlyToken.exec(body.toString('latin1'))?.[1]
      if (token) ask({ request, response, body, startedAt, authorization, secret: new Secret(token) })
      else leave({ request, response, body, startedAt })
    })
  }
}

const inactive = '{"active":false}'

/**
 * Introspection responses as ASCII JSON, so that their length in bytes is their length in characters. A response takes
 * as much memory as its credential, so only the most recently used are kept. A changed token has a new credential.
 */
function createAnswers(issuer: string): (credential: Credential | undefined) => string {
  const kept = new LRUCache<Credential, string>({ max: 20_000 })
  return (credential) => {
    if (!credential) return inactive
    const known = kept.get(credential)
    if (known !== undefined) return known
    const answer = toAscii(JSON.stringify(presentCredential(credential, issuer)))
    kept.set(credential, answer)
    return answer
  }
}

function toAscii(json: string): string {
  return json.replace(
    /[^\0-\x7E]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Names and values in turn, as Node takes them; the value of the last one follows. */
const headers = [
  ...Object.entries({
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    vary: 'Accept',
  }).flat(),
  'content-length',
]

type Known = { body: Buffer | undefined; error: Error | undefined }

const known = new WeakMap<IncomingMessage, Known>()

/** For a request passed to Fastify: its body if already read, and the error if it is certain to fail. */
export function handedOver(request: IncomingMessage): Known | undefined {
  return known.get(request)
}

const onlyToken = /^token=([A-Za-z0-9._~-]+)(?:&token_type_hint=[a-z_]{1,50})?$/
const form = /^application\/x-www-form-urlencoded(; ?charset=utf-8)?$/i
const longest = 8192

/** The Authorization header, if neither the other header fields nor the URL call for anything unusual. */
function authorizationOf({ method, url, rawHeaders }: IncomingMessage): string | undefined {
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
    // Requests from browsers get more header fields. Bodies with a content coding are rejected.
    else if (name === 'origin' || name === 'content-encoding') return undefined
  }
  return isForm && length > 0 && length <= longest ? authorization : undefined
}

import type { IncomingMessage } from 'node:http'
import { flawOfJson } from '../shared/json.ts'
import { call } from './call.ts'
import { OutboundError } from './error.ts'
import type { Guard } from './guard.ts'

/** Limits on the total time and on the bytes of the body. */
export type FetchLimits = { timeoutMs: number; maxBytes: number }

/** What to send with a POST. */
export type JsonPost = { headers: Record<string, string>; body: object }

/** The JSON document at a URL that a tenant registered, or the response to a POST. Every failure is an OutboundError. */
export async function fetchJson(
  url: string,
  guard: Guard,
  { timeoutMs, maxBytes }: FetchLimits,
  post?: JsonPost,
): Promise<unknown> {
  const headers = { accept: 'application/json' }
  const sent = post && {
    method: 'POST' as const,
    headers: { ...headers, 'content-type': 'application/json', ...post.headers },
    body: JSON.stringify(post.body),
  }
  return call(url, guard, { method: 'GET', headers, ...sent, timeoutMs }, async (response) => {
    rejectUnfit(response)
    return parse(await read(response, maxBytes))
  })
}

/** The response headers that OAuth clients read. */
const kept = ['content-type', 'www-authenticate']

export type FetchRequest = { method: string; headers: Record<string, string>; body: unknown }

/** Like `fetch`, with limits. Every failure is an OutboundError, including those of the server and its rate limit. */
export async function fetchResponse(
  url: string,
  guard: Guard,
  { timeoutMs, maxBytes }: FetchLimits,
  { method, headers, body }: FetchRequest,
): Promise<Response> {
  const sent = {
    method: method === 'POST' ? ('POST' as const) : ('GET' as const),
    headers,
    ...(body != null && { body: String(body) }),
  }
  return call(url, guard, { ...sent, timeoutMs }, async (response) => {
    rejectCoding(response)
    const { statusCode = 0, headers } = response
    if (statusCode >= 500 || statusCode === 429)
      throw new OutboundError(`responds with the status ${statusCode}`)
    const content = await read(response, maxBytes)
    return new Response(content.length > 0 ? content : null, {
      status: statusCode,
      headers: kept.flatMap((name) => (headers[name] === undefined ? [] : [[name, String(headers[name])]])),
    })
  })
}

function rejectUnfit({ statusCode, headers }: IncomingMessage): void {
  // Redirects are not followed: their target has not been checked.
  if (statusCode !== 200) throw new OutboundError(`responds with the status ${statusCode}`)
  // Rejects responses that are not meant for us, such as from a console or a metadata service.
  if (!/^application\/([\w.-]+\+)?json[ \t]*(;|$)/i.test(headers['content-type'] ?? ''))
    throw new OutboundError('does not respond with JSON')
  rejectCoding({ headers })
}

/** Nothing is decompressed, so that a small body stays small. */
function rejectCoding({ headers }: Pick<IncomingMessage, 'headers'>): void {
  if (headers['content-encoding'] !== undefined) throw new OutboundError('responds with a content coding')
}

/** Bounds the memory for a body; Content-Length cannot be trusted. */
async function read(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) throw new OutboundError(`has more than ${maxBytes} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function parse(body: Buffer): unknown {
  const document = parsed(body)
  const flaw = flawOfJson(document)
  if (flaw) throw new OutboundError(`responds with JSON that ${flaw.detail}`)
  return document
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    // The parser's message would quote the body.
    throw new OutboundError('does not respond with JSON')
  }
}

import { once } from 'node:events'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { flawOfJson } from '../shared/json.ts'
import { OutboundError } from './error.ts'
import type { Guard } from './guard.ts'

/** Limits on the total time and on the bytes of the body. */
export type FetchLimits = { timeoutMs: number; maxBytes: number }

/** The JSON document at a URL that a tenant registered. Every failure is an OutboundError. */
export async function fetchJson(text: string, guard: Guard, limits: FetchLimits): Promise<unknown> {
  // Checked again: it may have been registered when more was allowed.
  const flaw = guard.flawOf(text)
  if (flaw) throw new OutboundError(flaw)
  const url = new URL(text)
  const send = url.protocol === 'https:' ? requestHttps : requestHttp
  // Limits servers and name servers that respond one byte at a time, or not at all.
  const signal = AbortSignal.timeout(limits.timeoutMs)
  const request = send(url, {
    // A reused connection was opened under the rules of another call and would go unchecked.
    agent: false,
    lookup: guard.lookup(signal),
    signal,
    headers: { accept: 'application/json', 'user-agent': 'counterfoil' },
  })
  // Errors after the response head are handled where the body is read.
  request.on('error', () => {})
  try {
    request.end()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    refuseUnfit(response)
    return parse(await read(response, limits.maxBytes))
  } catch (error) {
    if (error instanceof OutboundError) throw error
    throw new OutboundError('cannot be reached', { cause: error })
  } finally {
    request.destroy()
  }
}

function refuseUnfit({ statusCode, headers }: IncomingMessage): void {
  // Redirects are not followed: their target has not been checked.
  if (statusCode !== 200) throw new OutboundError(`responds with the status ${statusCode}`)
  // Rejects responses that are not meant for us, such as from a console or a metadata service.
  if (!/^application\/([\w.-]+\+)?json[ \t]*(;|$)/i.test(headers['content-type'] ?? ''))
    throw new OutboundError('does not respond with JSON')
  // Nothing is decompressed, so that a small body stays small.
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

import { once } from 'node:events'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { flawOfJson } from '../json.ts'
import { OutboundError } from './error.ts'
import type { Guard } from './guard.ts'

/** How long a document may take in all, and how many bytes it may have. */
export type FetchLimits = { timeoutMs: number; maxBytes: number }

/** The JSON document at a URL that a tenant gave. Whatever keeps it from being had is an OutboundError. */
export async function fetchJson(text: string, guard: Guard, limits: FetchLimits): Promise<unknown> {
  // Here too: it may have been registered when more was allowed.
  const flaw = guard.flawOf(text)
  if (flaw) throw new OutboundError(flaw)
  const url = new URL(text)
  const send = url.protocol === 'https:' ? requestHttps : requestHttp
  // Stands against servers, and name servers, that answer a byte now and then, or nothing, to keep us waiting.
  const signal = AbortSignal.timeout(limits.timeoutMs)
  const request = send(url, {
    // A connection that somebody else opened would go where they were allowed to, unchecked.
    agent: false,
    lookup: guard.lookup(signal),
    signal,
    headers: { accept: 'application/json', 'user-agent': 'counterfoil' },
  })
  // What goes wrong behind the head of the response is met by who reads it.
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
  // A redirect is not followed: it would lead to where nobody has looked.
  if (statusCode !== 200) throw new OutboundError(`answers with the status ${statusCode}`)
  // Stands against taking in what is no answer to us, such as a console or a metadata service.
  if (!/^application\/([\w.-]+\+)?json[ \t]*(;|$)/i.test(headers['content-type'] ?? ''))
    throw new OutboundError('does not answer with JSON')
  // Nothing is unpacked, so that a small body stays small.
  if (headers['content-encoding'] !== undefined) throw new OutboundError('answers in an encoding')
}

/** Stands against bodies that fill the memory; what Content-Length says proves nothing. */
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
  if (flaw) throw new OutboundError(`answers with JSON that ${flaw.detail}`)
  return document
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    // The parser's message quotes what it read.
    throw new OutboundError('does not answer with JSON')
  }
}

import { once } from 'node:events'
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { traced, tracing } from '../shared/tracing.ts'
import { OutboundError } from './error.ts'
import type { Guard } from './guard.ts'

export type Call = {
  method: 'GET' | 'POST'
  headers: Record<string, string>
  body?: string
  /** For the whole call, including the reading of the response. */
  timeoutMs: number
  /** Ends the call early. */
  signal?: AbortSignal
}

/**
 * Calls a URL that a tenant registered, and returns what `read` makes of the response. Every failure is an OutboundError.
 */
export async function call<T>(
  text: string,
  guard: Guard,
  { method, headers, body, timeoutMs, signal: ending }: Call,
  read: (response: IncomingMessage) => Promise<T>,
): Promise<T> {
  // Checked again: it may have been registered when more was allowed.
  const flaw = guard.flawOf(text)
  if (flaw) throw new OutboundError(flaw)
  const url = new URL(text)
  const send = url.protocol === 'https:' ? requestHttps : requestHttp
  // Limits servers and name servers that respond one byte at a time, or not at all.
  const timeout = AbortSignal.timeout(timeoutMs)
  const signal = ending ? AbortSignal.any([timeout, ending]) : timeout
  return traced(method, { kind: 'client', attributes: attributesOf(method, url) }, async (span) => {
    const request = send(url, {
      method,
      // A reused connection was opened under the rules of another call and would go unchecked.
      agent: false,
      lookup: guard.lookup(signal),
      signal,
      headers: { ...headers, ...tracing?.headers(), 'user-agent': 'counterfoil' },
    })
    // Errors after the response head are handled where the body is read.
    request.on('error', () => {})
    try {
      request.end(body)
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      const { statusCode = 0 } = response
      span?.setAttribute('http.response.status_code', statusCode)
      if (span && statusCode >= 400) tracing?.fail(span, String(statusCode))
      return await read(response)
    } catch (error) {
      if (error instanceof OutboundError) throw error
      throw new OutboundError(timeout.aborted ? 'does not respond in time' : 'cannot be reached', {
        cause: error,
      })
    } finally {
      request.destroy()
    }
  })
}

/** Not the URL: the path of a webhook may be a secret. */
function attributesOf(method: string, { protocol, hostname, port }: URL) {
  return {
    'http.request.method': method,
    'url.scheme': protocol.slice(0, -1),
    'server.address': hostname,
    'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
  }
}

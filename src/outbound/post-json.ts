import type { IncomingMessage } from 'node:http'
import { call } from './call.ts'
import type { Guard } from './guard.ts'

export type PostedMessage = {
  headers: Record<string, string>
  body: string
  timeoutMs: number
  /** Ends the call early. */
  signal: AbortSignal
}

export type PostResponse = { status: number; retryAfter: string | undefined }

/** How much of the body of a response is read, so that the server can finish sending it. */
const maxBytes = 16 * 1024

/** Redirects are not followed: their target has not been checked. */
export async function postJson(
  url: string,
  guard: Guard,
  { headers, ...message }: PostedMessage,
): Promise<PostResponse> {
  const all = { ...headers, 'content-type': 'application/json', accept: '*/*' }
  return call(url, guard, { method: 'POST', ...message, headers: all }, async (response) => {
    // The status decides, even if reading the body fails.
    await discard(response).catch(() => {})
    return { status: response.statusCode ?? 0, retryAfter: response.headers['retry-after'] }
  })
}

async function discard(response: IncomingMessage): Promise<void> {
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) return
  }
}

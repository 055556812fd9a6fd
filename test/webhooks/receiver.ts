import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Webhook } from 'standardwebhooks'
import type { Test } from 'tap'

export type Received = { headers: IncomingHttpHeaders; text: string; body: any; path: string }
type Respond = (received: Received, response: ServerResponse, n: number) => void

/** A receiver of webhooks, which records the messages and by default responds with 204. */
export async function startReceiver(t: Test, respond?: Respond) {
  const messages: Received[] = []
  const server = createServer(async (request, response) => {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk
    const received = { headers: request.headers, text, body: JSON.parse(text), path: request.url ?? '' }
    messages.push(received)
    if (respond) respond(received, response, messages.length)
    else response.writeHead(204).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    messages,
    types: () => messages.map(({ body }) => body.type),
  }
}

/** Whether the library of Standard Webhooks accepts the message at the time at which it was sent. */
export function verifies({ headers, text }: Received, secret: string): boolean {
  const { now } = Date
  Date.now = () => Number(headers['webhook-timestamp']) * 1000
  try {
    new Webhook(secret).verify(text, headers as Record<string, string>)
    return true
  } catch {
    return false
  } finally {
    Date.now = now
  }
}

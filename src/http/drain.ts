import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { answerClientError } from './problem.ts'

/** How long complete requests may wait for their responses once the grace period is over. */
export const answeringMs = 20_000

// Long enough to read what a client has sent on a new connection.
const sweepMs = 100

/**
 * Once `draining` is aborted, every response closes its connection (RFC 9112 §9.6), so that clients send further
 * requests elsewhere.
 */
export function closeAnswered(app: FastifyInstance, draining: AbortSignal): void {
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (draining.aborted) reply.header('connection', 'close')
    done()
  })
}

/**
 * Closes the app without letting clients delay it. Idle connections are closed, and complete requests are answered.
 * Requests that are still arriving have had the grace period; waiting for them would mean waiting for their clients.
 */
export function createDrain(app: FastifyInstance): () => Promise<void> {
  const connections = new Set<Socket>()
  app.server.on('connection', (socket: Socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  return async () => {
    const over = new AbortController()
    const closed = app.close().finally(() => over.abort())
    const deadline = performance.now() + answeringMs
    while (await delay(sweepMs, true, { signal: over.signal }).catch(() => false)) {
      for (const socket of connections) if (!isAnswering(socket)) giveUp(app, socket)
      if (performance.now() > deadline) app.server.closeAllConnections()
    }
    await closed
  }
}

/**
 * Whether a complete request on this connection awaits its response. Node detects idle connections by this member too.
 */
function isAnswering(socket: Socket & { _httpMessage?: ServerResponse }): boolean {
  return socket._httpMessage?.req.complete ?? false
}

function giveUp(app: FastifyInstance, socket: Socket & { _httpMessage?: ServerResponse }): void {
  const hasBegun = socket.bytesRead > 0 && !socket._httpMessage?.headersSent
  const timeout = Object.assign(new Error(), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
  if (hasBegun) answerClientError(app, timeout, socket)
  socket.destroySoon()
}

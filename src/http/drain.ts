import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { answerClientError } from './problem.ts'

/** How long complete requests may take to be answered once the grace time is over. */
export const answeringMs = 20_000

// Long enough for what a client has sent on a new connection to have been read.
const sweepMs = 100

/** From `draining` on every answer closes its connection, as RFC 9112 §9.6 has it: clients send what follows elsewhere. */
export function closeAnswered(app: FastifyInstance, draining: AbortSignal): void {
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (draining.aborted) reply.header('connection', 'close')
    done()
  })
}

/**
 * Closes the app so that clients can do nothing to hold it up. Connections that are idle are closed, and complete requests
 * get their answers. Those that are still being sent have had the grace time; they would wait for their clients.
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

/** Whether a request has come in completely and waits for its answer. Node itself tells idle connections by this member. */
function isAnswering(socket: Socket & { _httpMessage?: ServerResponse }): boolean {
  return socket._httpMessage?.req.complete ?? false
}

function giveUp(app: FastifyInstance, socket: Socket & { _httpMessage?: ServerResponse }): void {
  const hasBegun = socket.bytesRead > 0 && !socket._httpMessage?.headersSent
  const timeout = Object.assign(new Error(), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
  if (hasBegun) answerClientError(app, timeout, socket)
  socket.destroySoon()
}

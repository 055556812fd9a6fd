import type { FastifyInstance } from 'fastify'

/** Fastify closes connections that are idle when it closes; this has the others close once they are answered. */
export function closeConnectionsWhenClosing(app: FastifyInstance): void {
  let closing = false
  app.addHook('preClose', async () => {
    closing = true
  })
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close')
  })
}

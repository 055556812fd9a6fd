import type { FastifyInstance } from 'fastify'

/** Fastify closes connections that are idle when it closes; this has the others close once they are answered. */
export function createClosing() {
  let closing = false
  return {
    isClosing: () => closing,
    watch(app: FastifyInstance): void {
      app.addHook('preClose', (done) => {
        closing = true
        done()
      })
      app.addHook('onSend', (_request, reply, _payload, done) => {
        if (closing) reply.header('connection', 'close')
        done()
      })
    },
  }
}

// (b) Fastify, which reads the form as plain text and always serializes the same response.
import Fastify from 'fastify'
import { fixedAnswer } from './fixed-answer.ts'
import { responseSchema } from './introspection-schema.ts'
import { report } from './serve.ts'

const app = Fastify()
app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) =>
  done(null, body),
)
app.post('/introspect', { schema: { response: { 200: responseSchema } } }, async () => fixedAnswer)
await app.listen({ host: '127.0.0.1', port: 0 })
await report(app.server)

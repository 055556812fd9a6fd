import type { FastifyBodyParser, FastifyInstance } from 'fastify'
import { AppError } from '../errors.ts'
import { flawOfJson } from '../json.ts'

/** Fastify's own parser of JSON, and bounds that hold before a schema or anything else walks what it has made. */
export function boundedJson(app: FastifyInstance): FastifyBodyParser<string> {
  const parse = app.getDefaultJsonParser('error', 'error')
  return (request, text, done) =>
    parse(request, text, (error, body) => {
      const flaw = error ? undefined : flawOfJson(body)
      if (!flaw) return done(error, body)
      const { path: field, detail } = flaw
      const where = field === '' ? 'body' : `body ${field}`
      done(new AppError('invalid_request', `${where} ${detail}`, { fields: [{ in: 'body', field, detail }] }))
    })
}

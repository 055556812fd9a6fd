import type { FastifyInstance } from 'fastify'
import { AppError } from '../shared/errors.ts'
import { flawOfJson } from '../shared/json.ts'
import { addTextParser } from './bodies.ts'

/** Fastify's own JSON parser, with limits that apply before a schema or other code walks the result. */
export function addJsonParser(app: FastifyInstance, type = 'application/json'): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  addTextParser(app, [type], (request, text, done) => {
    // A chunked body is known to be empty only now.
    if (text === '') return done(null, undefined)
    return parse(request, text, (error, body) => {
      const flaw = error ? undefined : flawOfJson(body)
      if (!flaw) return done(error, body)
      const { path: field, detail } = flaw
      const where = field === '' ? 'body' : `body ${field}`
      done(new AppError('invalid_request', `${where} ${detail}`, { fields: [{ in: 'body', field, detail }] }))
    })
  })
}

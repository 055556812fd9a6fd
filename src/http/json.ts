import type { FastifyBodyParser, FastifyInstance, FastifyRequest } from 'fastify'
import { AppError } from '../shared/errors.ts'
import { flawOfJson } from '../shared/json.ts'
import { addTextParser } from './bodies.ts'

type JsonOptions = {
  type?: string
  /** Called with the text before it is parsed; rejects the request by throwing. */
  check?: (request: FastifyRequest, text: string) => Promise<void>
}

/** Fastify's own JSON parser, with limits that apply before a schema or other code walks the result. */
export function addJsonParser(
  app: FastifyInstance,
  { type = 'application/json', check }: JsonOptions = {},
): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  const parseText: FastifyBodyParser<string> = (request, text, done) => {
    // A chunked body is known to be empty only now.
    if (text === '') return done(null, undefined)
    return parse(request, text, (error, body) => {
      const flaw = error ? undefined : flawOfJson(body)
      if (!flaw) return done(error, body)
      const { path: field, detail } = flaw
      const where = field === '' ? 'body' : `body ${field}`
      done(new AppError('invalid_request', `${where} ${detail}`, { fields: [{ in: 'body', field, detail }] }))
    })
  }
  const parseChecked: FastifyBodyParser<string> = (request, text, done) => {
    check?.(request, text).then(() => parseText(request, text, done), done)
  }
  addTextParser(app, [type], check ? parseChecked : parseText)
}

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
  const parse = jsonParser(app)
  const parseText: FastifyBodyParser<string> = (_request, text, done) =>
    // Only here is a chunked body known to be empty.
    text === '' ? done(null, undefined) : parse(text, done)
  const parseChecked: FastifyBodyParser<string> = (request, text, done) => {
    check?.(request, text).then(() => parseText(request, text, done), done)
  }
  addTextParser(app, [type], check ? parseChecked : parseText)
}

/** The parser itself, for text that is not the whole body. It calls back at once. */
export function jsonParser(app: FastifyInstance) {
  const parse = app.getDefaultJsonParser('error', 'error')
  return (text: string, done: (error: Error | null, json?: unknown) => void): void =>
    // The parser does not use the request.
    void parse(undefined as never, text, (error, body) => {
      const flaw = error ? undefined : flawOfJson(body)
      if (!flaw) return done(error, body)
      const { path: field, detail } = flaw
      const where = field === '' ? 'body' : `body ${field}`
      done(new AppError('invalid_request', `${where} ${detail}`, { fields: [{ in: 'body', field, detail }] }))
    })
}

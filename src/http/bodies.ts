import { isUtf8 } from 'node:buffer'
import { MIMEType } from 'node:util'
import type { FastifyBodyParser, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../shared/errors.ts'

/** Checks the header fields of a body before reading it, on every route that accepts one. */
export function checkBodies(app: FastifyInstance): void {
  // Treats an empty body as no body, regardless of its Content-Type: HTTP libraries add one to every POST and DELETE.
  app.addHook('onRequest', (request, _reply, done) => {
    if (!hasBody(request)) delete request.headers['content-type']
    done()
  })
  // Runs after authentication and before the body is read.
  app.addHook('preParsing', (request, reply, payload, done) => {
    const isRead = request.method !== 'GET' && request.method !== 'HEAD' && !request.is404
    if (isRead && hasBody(request)) checkBody(request, reply)
    done(null, payload)
  })
}

export function hasBody({ headers }: FastifyRequest): boolean {
  return Number(headers['content-length']) > 0 || headers['transfer-encoding'] !== undefined
}

function checkBody({ headers, raw }: FastifyRequest, reply: FastifyReply): void {
  const codings = headers['content-encoding']?.split(',') ?? []
  if (codings.some((coding) => !['', 'identity'].includes(coding.trim().toLowerCase()))) {
    // RFC 7694 §3: tells clients that the coding, not the media type, is the problem.
    reply.header('accept-encoding', 'identity')
    throw unsupported('content-encoding', 'is not supported; send the body without a content coding')
  }
  const type = headers['content-type']
  if (type === undefined) return
  // Node.js keeps the first one, while a proxy may have checked the last.
  if (raw.rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'content-type').length > 1)
    throw unsupported('content-type', 'is given more than once')
  if (!/^utf-?8$/i.test(charsetOf(type)))
    throw unsupported('content-type', 'has a charset other than UTF-8; send the body in UTF-8')
}

/** Ignores malformed media types: no parser matches them, so they are rejected later. */
function charsetOf(type: string): string {
  try {
    return new MIMEType(type).params.get('charset') ?? 'utf-8'
  } catch {
    return 'utf-8'
  }
}

function unsupported(field: string, detail: string): AppError {
  return new AppError('unsupported_media_type', `${field} ${detail}`, {
    fields: [{ in: 'header', field, detail }],
  })
}

/** Registers a parser for UTF-8 text. Lenient decoding would store invalid bytes as U+FFFD. */
export function addTextParser(app: FastifyInstance, types: string[], parse: FastifyBodyParser<string>): void {
  app.addContentTypeParser(types, { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    if (!isUtf8(body)) return done(notUtf8())
    return parse(request, body.toString(), done)
  })
}

export function notUtf8(): AppError {
  const detail = 'is not valid UTF-8'
  return new AppError('invalid_request', `body ${detail}`, { fields: [{ in: 'body', field: '', detail }] })
}

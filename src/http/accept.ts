import type { FastifyReply } from 'fastify'
import Negotiator from 'negotiator'
import { AppError } from '../shared/errors.ts'

/**
 * The offered media type that an Accept header prefers (RFC 9110 §12.5.1), or the first one if it has no preference.
 */
export function preferredType<T extends string>(
  accept: string | undefined,
  offered: readonly [T, ...T[]],
): T {
  const [first] = offered
  // The usual headers do not need the parser.
  if (!accept || accept === '*/*' || accept === first) return first
  if (/^[\s,]*$/.test(accept)) return first
  const ranges = accept.replace(parameter, '')
  const preferred = new Negotiator({ headers: { accept: ranges } }).mediaType([...offered])
  const type = offered.find((candidate) => candidate === preferred)
  if (type) return type
  throw new AppError(
    'not_acceptable',
    `None of the supported media types is acceptable: ${offered.join(', ')}.`,
  )
}

/** Any parameter but the weight. Parameters exclude no type, since the offered types have no variants. */
const parameter = /;[ \t]*(?!q[ \t]*=)[\w!#$%&'*+.^`|~-]+[ \t]*=[ \t]*(?:"(?:[^"\\]|\\.)*"|[^\s;,"]*)/gi

/** Tells caches that the response also depends on this header (RFC 9110 §12.5.5). */
export function addVary(reply: FastifyReply, header: string): void {
  reply.header('vary', [reply.getHeader('vary') ?? [], header].flat().join(', '))
}

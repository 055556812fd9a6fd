import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Static, type TSchema, Type } from 'typebox'
import { Value } from 'typebox/value'
import { AppError } from '../errors.ts'
import { nullable, ref } from './schemas.ts'

/** The query parameters of every list. */
export const pageQuery = {
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'How many at the most.' }),
  cursor: Type.Optional(
    Type.String({ maxLength: 2000, description: 'Where to go on: `next_cursor` of the page before.' }),
  ),
}

/** The shape of every list. */
export function Page<T extends TSchema>(item: T, $id: string) {
  return Type.Object(
    {
      items: Type.Array(ref(item)),
      next_cursor: nullable.string({ description: 'Opaque. Null on the last page.' }),
    },
    { $id, description: 'One page of a list.' },
  )
}

/**
 * One page out of a query for one row more than `limit`, with a Link header to the next one (RFC 8288).
 * `positionOf` says where a row stands in the list.
 */
export function page<Row, Item>(
  request: FastifyRequest<{ Querystring: { limit: number } }>,
  reply: FastifyReply,
  rows: Row[],
  present: (row: Row) => Item,
  positionOf: (row: Row) => unknown,
): { items: Item[]; next_cursor: string | null } {
  const { limit } = request.query
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const more = rows.length > limit && last !== undefined
  const next = more ? Buffer.from(JSON.stringify(positionOf(last))).toString('base64url') : null
  if (next) {
    const url = new URL(request.url, 'http://relative')
    url.searchParams.set('cursor', next)
    reply.header('link', `<${url.pathname}${url.search}>; rel="next"`)
  }
  return { items: shown.map(present), next_cursor: next }
}

/** The position that a cursor stands for. */
export function parseCursor<T extends TSchema>(schema: T, cursor: string | undefined): Static<T> | undefined {
  if (cursor === undefined) return undefined
  try {
    const position: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (Value.Check(schema, position)) return position as Static<T>
  } catch {}
  throw new AppError('invalid_request', 'The cursor is not one of this list.', {
    fields: [{ in: 'query', field: 'cursor', detail: 'is not one of this list' }],
  })
}

import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Static, type TSchema, Type } from 'typebox'
import { AppError } from '../shared/errors.ts'
import { openCursor, sealCursor } from './cursor.ts'
import { nullable, ref } from './schemas.ts'
import { fits } from './validation.ts'

/** The query parameters of every list. */
export const pageQuery = {
  limit: Type.Integer({ minimum: 1, maximum: 200, default: 50, description: 'Maximum number of items.' }),
  cursor: Type.Optional(
    Type.String({ maxLength: 6000, description: 'The `next_cursor` of the previous page.' }),
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

type ListRequest = FastifyRequest<{ Querystring: { limit: number; cursor?: string } }>

type PageOptions<Row, Item> = {
  cursorKey: Buffer
  rows: Row[]
  present: (row: Row) => Item
  positionOf: (row: Row) => unknown
  /** Where to continue after a page that ended before it was full. */
  resume?: unknown
}

/**
 * Makes a page of the result of a query for one row more than `limit`, with a Link header to the next page (RFC 8288).
 * `positionOf` returns the position of a row in the list.
 */
export function page<Row, Item>(
  request: ListRequest,
  reply: FastifyReply,
  { cursorKey, rows, present, positionOf, resume }: PageOptions<Row, Item>,
): { items: Item[]; next_cursor: string | null } {
  const { limit } = request.query
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  const more = rows.length > limit && last !== undefined
  const position = more ? positionOf(last) : resume
  const next = position === undefined ? null : sealCursor(cursorKey, listOf(request), position)
  if (next) {
    const url = new URL(request.url, 'http://relative')
    url.searchParams.set('cursor', next)
    reply.header('link', `<${request.server.basePath}${url.pathname}${url.search}>; rel="next"`)
  }
  return { items: shown.map(present), next_cursor: next }
}

/** The position in the cursor of a request; `schema` describes every position of this list. */
export function positionIn<T extends TSchema>(
  schema: T,
  request: ListRequest,
  cursorKey: Buffer,
): Static<T> | undefined {
  const { cursor } = request.query
  if (cursor === undefined) return undefined
  const position = openCursor(cursorKey, listOf(request), cursor)
  // The cursor may come from an older version of Counterfoil and have another shape.
  if (fits(schema, position)) return position
  const detail = 'was issued for a different list, sort order or filter'
  throw new AppError('invalid_request', `The cursor ${detail}.`, {
    fields: [{ in: 'query', field: 'cursor', detail }],
  })
}

/** What a cursor is valid for: the list at this path with this order and these filters, in pages of any size. */
function listOf({ routeOptions, params, query }: ListRequest): string {
  const { cursor: _cursor, limit: _limit, ...view } = query
  return JSON.stringify([routeOptions.url, params, Object.entries(view).sort()])
}

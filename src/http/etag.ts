import type { FastifyReply, FastifyRequest } from 'fastify'
import { AppError } from '../shared/errors.ts'
import type { ExpectedVersions } from '../shared/preconditions.ts'

export function etag({ version }: { version: number }): string {
  return `"${version}"`
}

/** Answers with a resource, and with its version as the ETag. */
export function showing<Row extends { version: number }, Shown>(present: (row: Row) => Shown) {
  return (reply: FastifyReply, row: Row): Shown => {
    reply.header('etag', etag(row))
    return present(row)
  }
}

/** Whether an If-None-Match header contains the tag, by weak comparison (RFC 9110 §13.1.2). */
export function matchesEtag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false
  return header.trim() === '*' || (tagsIn(header)?.some(({ strong }) => strong === tag) ?? false)
}

/** The versions that an If-Match header accepts, by strong comparison: weak tags never match (RFC 9110 §13.1.1). */
export function expectedVersions({ headers }: FastifyRequest): ExpectedVersions {
  const header = headers['if-match']
  if (header === undefined || header.trim() === '*') return undefined
  const tags = tagsIn(header)
  if (tags)
    return tags
      .flatMap(({ weak, strong }) => (weak ? [] : (/^"([1-9]\d{0,8})"$/.exec(strong)?.[1] ?? [])))
      .map(Number)
  const detail = 'is neither * nor a list of entity tags, such as "1"'
  throw new AppError('invalid_request', `If-Match ${detail}.`, {
    fields: [{ in: 'header', field: 'if-match', detail }],
  })
}

// RFC 9110 §8.8.3 and §5.6.1: recipients ignore empty list elements.
const list = /^[ \t,]*(?:(?:W\/)?"[\x21\x23-\x7E\x80-\xFF]*"[ \t]*(?:,[ \t,]*|$))+$/
const tag = /(W\/)?"([^"]*)"/g

/** The entity tags in a header; undefined if it is not a list of entity tags. */
function tagsIn(header: string): { weak: boolean; strong: string }[] | undefined {
  if (!list.test(header)) return undefined
  return [...header.matchAll(tag)].map(([, weak, opaque = '']) => ({
    weak: weak !== undefined,
    strong: `"${withoutCoding(opaque)}"`,
  }))
}

/**
 * Compressing proxies may append the coding to the tag, as Apache does (`"1-gzip"`). It still identifies the same
 * version.
 */
function withoutCoding(opaque: string): string {
  return opaque.replace(/(?:--?|;)(?:gzip|br|zstd|deflate)$/, '')
}

import type { FastifyRequest } from 'fastify'
import { AppError } from '../errors.ts'
import type { ExpectedVersions } from '../versions.ts'

export function etag({ version }: { version: number }): string {
  return `"${version}"`
}

/** Whether an If-None-Match header names the tag, by weak comparison (RFC 9110 §13.1.2). */
export function matchesEtag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false
  return header.trim() === '*' || header.split(',').some((one) => one.trim().replace(/^W\//, '') === tag)
}

/** The versions that an If-Match header accepts (RFC 9110 §13.1.1); weak tags never match. */
export function expectedVersions({ headers }: FastifyRequest): ExpectedVersions {
  const header = headers['if-match']
  if (header === undefined || header.trim() === '*') return undefined
  const tags = header.split(',').map((tag) => tag.trim())
  if (tags.every((tag) => /^(W\/)?"[\x21\x23-\x7E\x80-\xFF]*"$/.test(tag))) {
    return tags.flatMap((tag) => /^"(\d{1,9})"$/.exec(tag)?.[1] ?? []).map(Number)
  }
  throw new AppError('invalid_request', 'If-Match is not a list of entity tags.', {
    fields: [{ in: 'header', field: 'if-match', detail: 'is not a list of entity tags' }],
  })
}

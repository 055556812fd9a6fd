import { AppError } from './errors.ts'

/**
 * The versions that a change may replace (If-Match, RFC 9110 §13.1.1); undefined accepts any. Empty if no tag in
 * If-Match can match.
 */
export type ExpectedVersions = readonly number[] | undefined

/** Prevents lost updates, when two people edit the same object without seeing each other's change. */
export function rejectStale({ version }: { version: number }, expected: ExpectedVersions): void {
  if (!expected || expected.includes(version)) return
  const advice =
    expected.length > 0
      ? 'Read it again, then apply your change to that version.'
      : 'If-Match contains no ETag of this service: weak ones (W/"1") never match (RFC 9110 §13.1.1), and a proxy that ' +
        `compresses makes them weak. Read it again, then send If-Match: "${version}".`
  throw new AppError('precondition_failed', `The current version is ${version}. ${advice}`)
}

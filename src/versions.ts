import { AppError } from './errors.ts'

/** The versions that a change may replace (If-Match, RFC 9110 §13.1.1); undefined accepts any. */
export type ExpectedVersions = readonly number[] | undefined

/** Stands against lost updates: two people who edit the same thing and do not see each other's change. */
export function refuseStale({ version }: { version: number }, expected: ExpectedVersions): void {
  if (!expected || expected.includes(version)) return
  throw new AppError(
    'precondition_failed',
    `It is at version ${version} now: read it again, then change that.`,
  )
}

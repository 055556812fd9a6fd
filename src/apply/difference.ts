import { isDeepStrictEqual } from 'node:util'
import { plainName } from '../shared/text.ts'

/** A member that differs, by its path such as `lifetime.maximum_days`. */
export type Difference = { member: string; from: unknown; to: unknown }

/**
 * The changes that give `current` the members of `wanted`. Members that `wanted` leaves out keep their values,
 * including those of nested objects; lists are compared as a whole. A member of `current` that is missing counts as
 * null.
 */
export function differences(current: unknown, wanted: object, path: string[] = []): Difference[] {
  return Object.entries(wanted).flatMap(([name, to]) => {
    const from = (current as Record<string, unknown> | null | undefined)?.[name] ?? null
    const member = [...path, name]
    if (typeof to === 'object' && to !== null && !Array.isArray(to)) return differences(from, to, member)
    return isSame(from, to) ? [] : [{ member: member.join('.'), from, to }]
  })
}

function isSame(from: unknown, to: unknown): boolean {
  return isDeepStrictEqual(withoutNulls(asStored(from)), withoutNulls(asStored(to)))
}

/** The service stores names without surrounding spaces, and an empty text as null. */
function asStored(value: unknown): unknown {
  return typeof value === 'string' ? plainName(value) || null : value
}

/** In the objects of a list, null and absence are the same. */
function withoutNulls(value: unknown): unknown {
  if (!Array.isArray(value)) return value
  return value.map((item) =>
    typeof item === 'object' && item !== null
      ? Object.fromEntries(Object.entries(item).filter(([, member]) => member !== null))
      : item,
  )
}

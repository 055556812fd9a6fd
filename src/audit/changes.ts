import { isDeepStrictEqual } from 'node:util'
import type { Changes } from '../db/tables.ts'

/** The members that a change would actually modify, named as in the API; undefined if there are none. */
export function differences<T extends object>(current: T, change: Partial<T>): Changes | undefined {
  const keys = (Object.keys(change) as (keyof T & string)[]).filter(
    (key) => change[key] !== undefined && !isDeepStrictEqual(change[key], current[key]),
  )
  if (keys.length === 0) return undefined
  const pick = (from: Partial<T>) =>
    Object.fromEntries(keys.map((key) => [snakeCase(key), excerpt(from[key])]))
  return { before: pick(current), after: pick(change) }
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

const longestText = 10_000

/** The log keeps the start of a long comment, so that a page of it has bounds. */
function excerpt(value: unknown): unknown {
  return typeof value === 'string' && value.length > longestText
    ? `${value.slice(0, longestText).toWellFormed()}…`
    : value
}

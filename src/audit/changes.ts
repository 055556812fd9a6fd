import { isDeepStrictEqual } from 'node:util'
import type { Changes } from '../db/tables.ts'

/** The members that a change would actually modify, named as on the wire; undefined if there are none. */
export function differences<T extends object>(current: T, change: Partial<T>): Changes | undefined {
  const keys = (Object.keys(change) as (keyof T & string)[]).filter(
    (key) => change[key] !== undefined && !isDeepStrictEqual(change[key], current[key]),
  )
  if (keys.length === 0) return undefined
  const pick = (from: Partial<T>) => Object.fromEntries(keys.map((key) => [snakeCase(key), from[key]]))
  return { before: pick(current), after: pick(change) }
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

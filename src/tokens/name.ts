import { randomInt } from 'node:crypto'
import { invalidValue } from '../shared/errors.ts'
import type { Policy } from '../shared/policy.ts'
import { alphabet } from '../shared/secret.ts'

const middleLength = 11

/** Whether a new token may have this name, or none: then one is generated. */
export function rejectWrongName(policy: Policy['name'], name: string | undefined): void {
  if (name !== undefined) rejectShortName(policy, name)
  else if (policy.required) throw invalidValue('name', 'is required')
}

export function rejectShortName({ minimum_length: minimum }: Policy['name'], name: string): void {
  // Code points, as the database counts them.
  if ([...name].length >= minimum) return
  throw invalidValue('name', `must have at least ${minimum} characters`)
}

/**
 * For example `eyJH..XbLOiHLNDTM..hgft`: the holder of a token can find it in the list by its ends. It shows no more of
 * the secret than the hint does; the random middle makes it unique.
 */
export function generateName(hint: string): string {
  const [start = '', end = ''] = hint.split('…')
  const middle = Array.from({ length: middleLength }, () => alphabet[randomInt(alphabet.length)]).join('')
  return `${start.slice(0, 4)}..${middle}..${end}`
}

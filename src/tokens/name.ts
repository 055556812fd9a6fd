import { randomInt } from 'node:crypto'
import { invalidValue } from '../errors.ts'
import type { Policy } from '../policy/document.ts'
import { alphabet, type Secret } from './secret.ts'

const middleLength = 11

/** The given name if the policy takes it, or one made from the ends of the secret where none is needed. */
export function nameFor(policy: Policy['name'], given: string | undefined, secret: Secret): string {
  if (given === undefined) {
    if (policy.required) throw invalidValue('name', 'is required')
    return generateName(secret)
  }
  refuseShortName(policy, given)
  return given
}

export function refuseShortName({ minimum_length: minimum }: Policy['name'], name: string): void {
  // Code points, as the database counts them.
  if ([...name].length >= minimum) return
  throw invalidValue('name', `must have at least ${minimum} characters`)
}

/**
 * Such as `eyJH..XbLOiHLNDTM..hgft`: whoever holds the token finds it in the list by its ends. No more of the secret
 * than its hint shows is in it; the middle, which is random, makes it unique.
 */
function generateName(secret: Secret): string {
  const text = secret.reveal()
  const middle = Array.from({ length: middleLength }, () => alphabet[randomInt(alphabet.length)]).join('')
  return `${text.slice(0, 4)}..${middle}..${text.slice(-4)}`
}

import { randomInt } from 'node:crypto'
import { invalidValue } from '../shared/errors.ts'
import type { Policy } from '../shared/policy.ts'
import { alphabet, type Secret } from '../shared/secret.ts'

const middleLength = 11

/** The given name if the policy accepts it, or one generated from the ends of the secret if no name is required. */
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
 * For example `eyJH..XbLOiHLNDTM..hgft`: the holder of a token can find it in the list by its ends. It shows no more of
 * the secret than the hint does; the random middle makes it unique.
 */
function generateName(secret: Secret): string {
  const text = secret.reveal()
  const middle = Array.from({ length: middleLength }, () => alphabet[randomInt(alphabet.length)]).join('')
  return `${text.slice(0, 4)}..${middle}..${text.slice(-4)}`
}

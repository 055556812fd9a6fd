import { plainNetwork } from '../addresses.ts'
import { invalidValue } from '../errors.ts'

/** The networks that `allowed_cidrs` names, each written in one way and once. */
export function parseNetworks(items: string[]): string[] {
  const networks = items.map((item) => {
    const network = plainNetwork(item)
    if (network === undefined)
      throw invalidValue('allowed_cidrs', `has ${item}, which is not an IPv4 or IPv6 network`)
    return network
  })
  return [...new Set(networks)]
}

import { plainNetwork } from '../shared/addresses.ts'
import { invalidValue } from '../shared/errors.ts'

/** The networks in `allowed_cidrs`, in canonical form and without duplicates. */
export function parseNetworks(items: string[]): string[] {
  const networks = items.map((item) => {
    const network = plainNetwork(item)
    if (network === undefined)
      throw invalidValue('allowed_cidrs', `has ${item}, which is not an IPv4 or IPv6 network`)
    return network
  })
  return [...new Set(networks)]
}

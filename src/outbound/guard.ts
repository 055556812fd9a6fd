import { isIP, type LookupFunction } from 'node:net'
import { networksOf } from '../shared/addresses.ts'
import { OutboundError } from './error.ts'
import { createResolve, type Resolve } from './resolve.ts'

export type Guard = {
  /** Why this URL may not be called, as the end of a sentence; undefined if no reason is known yet. */
  flawOf(url: string): string | undefined
  /** For the socket: resolves a name until `signal` aborts, and only to addresses that may be called. */
  lookup(signal: AbortSignal): LookupFunction
}

// Addresses with global reach; IPv6 assigns no others (RFC 4291 §2.4).
const everywhere = networksOf(['0.0.0.0/0', '2000::/3'])

// Exceptions that are not global (RFC 6890), or that lead from IPv6 to arbitrary IPv4 addresses (Teredo, 6to4).
const special = networksOf([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '3fff::/20',
  // Looks public, but provides Azure's virtual machines with their metadata.
  '168.63.129.16',
])

const loopback = networksOf(['127.0.0.0/8', '::1'])

/**
 * Prevents SSRF: tenants must not be able to register addresses inside our network, such as a metadata service, a
 * database console or this machine itself. The address is checked when connecting to it, since a name may resolve to
 * another address a moment later (DNS rebinding). `allowed` are networks that may be called nevertheless.
 */
export function createGuard(allowed: readonly string[], resolve: Resolve = createResolve()): Guard {
  const isAllowed = networksOf(allowed)
  const mayCall = (address: string) => isAllowed(address) || (everywhere(address) && !special(address))

  return {
    flawOf(text) {
      const url = URL.canParse(text) ? new URL(text) : undefined
      if (!url || !['https:', 'http:'].includes(url.protocol)) return 'is not an https URL'
      if (url.username || url.password) return 'has a user name or a password'
      if (url.hash) return 'has a fragment'
      // For a literal address, the socket does no lookup.
      const address = url.hostname.replace(/^\[(.*)\]$/, '$1')
      const literal = isIP(address) > 0
      if (url.protocol === 'http:') {
        // Without TLS, anyone on the network path could insert keys of their own; loopback has no network path.
        return literal && loopback(address) && isAllowed(address) ? undefined : 'is not an https URL'
      }
      return literal && !mayCall(address) ? 'has an address that this service may not call' : undefined
    },

    lookup: (signal) => (hostname, options, done) => {
      resolve(hostname, signal).then(
        (found) => {
          const addresses = found.filter(({ address }) => mayCall(address))
          const [first] = addresses
          if (!first)
            return done(new OutboundError('resolves to an address that this service may not call'), [])
          if (options.all) done(null, addresses)
          else done(null, first.address, first.family)
        },
        (error) => done(error, []),
      )
    },
  }
}

import { Resolver } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'

export type Address = { address: string; family: number }

/** The addresses of a name. Gives up as soon as `signal` aborts. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<Address[]>

const hostsFile = '/etc/hosts'

/**
 * Queries DNS itself, through c-ares. `dns.lookup` would hold one of libuv's four threads until the system's resolver
 * gives up, and PostgreSQL's host name, signatures and files need them too: a tenant with names that never resolve
 * could block all four. Names in the hosts file are resolved from there; no search domains are tried. `servers`
 * defaults to those of resolv.conf.
 */
export function createResolve(servers?: readonly string[]): Resolve {
  return async (name, signal) => {
    const listed = addressesIn(await readFile(hostsFile, 'utf8').catch(() => ''), name)
    if (listed.length > 0) return listed
    signal.throwIfAborted()
    // One resolver per name, since `cancel` ends all queries of a resolver.
    const resolver = new Resolver()
    if (servers) resolver.setServers(servers)
    const cancel = () => resolver.cancel()
    signal.addEventListener('abort', cancel, { once: true })
    try {
      const [v4, v6] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
      const found = [...addressesOf(v4, 4), ...addressesOf(v6, 6)]
      if (found.length === 0 && v4.status === 'rejected') throw v4.reason
      return found
    } finally {
      signal.removeEventListener('abort', cancel)
    }
  }
}

function addressesOf(answer: PromiseSettledResult<string[]>, family: number): Address[] {
  return answer.status === 'fulfilled' ? answer.value.map((address) => ({ address, family })) : []
}

/** hosts(5): an address, then its names, case-insensitive; `#` starts a comment. */
export function addressesIn(hosts: string, name: string): Address[] {
  const wanted = name.toLowerCase().replace(/\.$/, '')
  return hosts.split('\n').flatMap((line) => {
    const [address = '', ...names] = (line.split('#')[0] ?? '').trim().split(/\s+/)
    const family = isIP(address)
    const isMeant = family > 0 && names.some((one) => one.toLowerCase() === wanted)
    return isMeant ? [{ address, family }] : []
  })
}

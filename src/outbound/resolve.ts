import { Resolver } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'

export type Address = { address: string; family: number }

/** The addresses of a name. Gives up as soon as `signal` aborts. */
export type Resolve = (name: string, signal: AbortSignal) => Promise<Address[]>

const hostsFile = '/etc/hosts'

/**
 * Asks DNS itself, through c-ares. `dns.lookup` would hold one of libuv's four threads, which PostgreSQL's host name,
 * signatures and files need too, until the system's resolver gives up: a tenant whose names never resolve would have all
 * four. What the hosts file names is answered from there; names are complete, no search domain is tried. `servers` are
 * those of resolv.conf unless given.
 */
export function createResolve(servers?: readonly string[]): Resolve {
  return async (name, signal) => {
    const listed = addressesIn(await readFile(hostsFile, 'utf8').catch(() => ''), name)
    if (listed.length > 0) return listed
    signal.throwIfAborted()
    // One for each name, since `cancel` ends all that a resolver has asked.
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

/** hosts(5): an address, then its names, whatever the case; a comment from `#` on. */
export function addressesIn(hosts: string, name: string): Address[] {
  const wanted = name.toLowerCase().replace(/\.$/, '')
  return hosts.split('\n').flatMap((line) => {
    const [address = '', ...names] = (line.split('#')[0] ?? '').trim().split(/\s+/)
    const family = isIP(address)
    const isMeant = family > 0 && names.some((one) => one.toLowerCase() === wanted)
    return isMeant ? [{ address, family }] : []
  })
}

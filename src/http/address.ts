import type { IncomingMessage } from 'node:http'
import proxyAddr from '@fastify/proxy-addr'
import { networksOf, plainAddress } from '../shared/addresses.ts'

/**
 * Whether an address, as found in a socket or X-Forwarded-For, belongs to one of these proxies. Fastify's own check
 * would take a proxy address with a port for the client.
 */
export function trustIn(proxies: string[]): (address: string | undefined) => boolean {
  const isProxy = networksOf(proxies)
  return (text) => {
    const address = plainAddress(text)
    return address !== null && isProxy(address)
  }
}

/** The client's address, as in Fastify's `request.ip`: forwarded addresses count only behind these proxies. */
export function addressBehind(proxies: string[]): (request: IncomingMessage) => string | null {
  // Caches the last address, since resource servers call repeatedly from the same one.
  let last: { text: string | undefined; address: string | null } = { text: undefined, address: null }
  const plain = (text: string | undefined) => {
    if (text !== last.text) last = { text, address: plainAddress(text) }
    return last.address
  }
  if (proxies.length === 0) return ({ socket }) => plain(socket.remoteAddress)
  const trust = trustIn(proxies)
  return (request) => plain(proxyAddr(request, trust))
}

import type { IncomingMessage } from 'node:http'
import proxyAddr from '@fastify/proxy-addr'
import { networksOf, plainAddress } from '../addresses.ts'

/**
 * Whether an address, as a socket or X-Forwarded-For gives it, is one of these proxies. Fastify's own check takes a proxy
 * that is named with its port for the client.
 */
export function trustIn(proxies: string[]): (address: string | undefined) => boolean {
  const isProxy = networksOf(proxies)
  return (text) => {
    const address = plainAddress(text)
    return address !== null && isProxy(address)
  }
}

/** From where a request comes, as Fastify's `request.ip` has it: forwarded addresses count behind these proxies only. */
export function addressBehind(proxies: string[]): (request: IncomingMessage) => string | null {
  // A resource server asks again and again from the same place.
  let last: { text: string | undefined; address: string | null } = { text: undefined, address: null }
  const plain = (text: string | undefined) => {
    if (text !== last.text) last = { text, address: plainAddress(text) }
    return last.address
  }
  if (proxies.length === 0) return ({ socket }) => plain(socket.remoteAddress)
  const trust = trustIn(proxies)
  return (request) => plain(proxyAddr(request, trust))
}

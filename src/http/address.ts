import type { IncomingMessage } from 'node:http'
import proxyAddr from '@fastify/proxy-addr'
import { plainAddress } from '../addresses.ts'

/** From where a request comes, as Fastify's `request.ip` has it: forwarded addresses count behind these proxies only. */
export function addressBehind(proxies: string[]): (request: IncomingMessage) => string | null {
  // A resource server asks again and again from the same place.
  let last: { text: string | undefined; address: string | null } = { text: undefined, address: null }
  const plain = (text: string | undefined) => {
    if (text !== last.text) last = { text, address: plainAddress(text) }
    return last.address
  }
  if (proxies.length === 0) return ({ socket }) => plain(socket.remoteAddress)
  const trust = proxyAddr.compile(proxies)
  return (request) => plain(proxyAddr(request, trust))
}

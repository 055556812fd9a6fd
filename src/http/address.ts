import type { IncomingMessage } from 'node:http'
import proxyAddr from '@fastify/proxy-addr'
import { plainAddress } from '../addresses.ts'

/** From where a request comes, as Fastify's `request.ip` has it: forwarded addresses count behind these proxies only. */
export function addressBehind(proxies: string[]): (request: IncomingMessage) => string | null {
  if (proxies.length === 0) return ({ socket }) => plainAddress(socket.remoteAddress)
  const trust = proxyAddr.compile(proxies)
  return (request) => plainAddress(proxyAddr(request, trust))
}

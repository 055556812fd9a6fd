import type { IncomingMessage } from 'node:http'
import proxyAddr from '@fastify/proxy-addr'

/** From where a request comes, as Fastify's `request.ip` has it: forwarded addresses count behind these proxies only. */
export function addressBehind(proxies: string[]): (request: IncomingMessage) => string | null {
  if (proxies.length === 0) return ({ socket }) => socket.remoteAddress ?? null
  const trust = proxyAddr.compile(proxies)
  return (request) => proxyAddr(request, trust)
}

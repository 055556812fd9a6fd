import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Caller } from '../access/caller.ts'
import type { Deps } from '../deps.ts'
import { AppError } from '../errors.ts'
import type { Credential } from '../introspection/credential.ts'
import { Secret } from '../tokens/secret.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set by the `authenticate` hook of the scope that the route is in. */
    caller: Caller
  }
}

export type AuthenticateOptions = Pick<Deps, 'credentials' | 'usage' | 'now'> & { basic?: boolean }

/** An onRequest hook: no body is read before it is known who sends it. Where it is in memory nothing is awaited. */
export function authenticate({ credentials, usage, now, basic = false }: AuthenticateOptions) {
  const admit = (
    request: FastifyRequest,
    principal: Credential | undefined,
    clientId: string | undefined,
    at: Date,
  ): AppError | undefined => {
    if (!principal || (clientId !== undefined && clientId !== principal.tokenId)) {
      return new AppError('invalid_token', 'The credential is unknown, expired or revoked.')
    }
    const { id: requestId, ip } = request
    usage.note(principal.hash, at, ip)
    request.caller = { principal, actor: actorOf(principal), requestId, ip, now: at }
    return undefined
  }

  return (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void): void => {
    const { secret, clientId } = presented(request, basic)
    const at = now()
    const found = credentials.verify(secret, at)
    if (found instanceof Promise) {
      found.then((principal) => done(admit(request, principal, clientId, at)), done)
    } else done(admit(request, found, clientId, at))
  }
}

function actorOf({ tokenId, name }: Credential): Caller['actor'] {
  return { type: 'token', id: tokenId, name }
}

function presented(request: FastifyRequest, basic: boolean): { secret: Secret; clientId?: string } {
  const header = request.headers.authorization
  if (header === undefined) throw new AppError('unauthenticated', 'Send a token in the Authorization header.')
  const bearer = /^Bearer +([A-Za-z0-9\-._~+/]+=*) *$/i.exec(header)?.[1]
  if (bearer) return { secret: new Secret(bearer) }
  const encoded = basic ? /^Basic +([A-Za-z0-9+/_-]+=*) *$/i.exec(header)?.[1] : undefined
  if (encoded) return clientCredentials(encoded)
  throw new AppError(
    'unauthenticated',
    'The Authorization header is not of a scheme that is understood here.',
  )
}

/** RFC 6749 §2.3.1: the client id (the id of its token) and secret, each form-encoded, then joined by a colon. */
function clientCredentials(encoded: string): { secret: Secret; clientId: string } {
  const [id, ...secret] = Buffer.from(encoded, 'base64').toString().split(':')
  return { clientId: formDecode(id ?? ''), secret: new Secret(formDecode(secret.join(':'))) }
}

function formDecode(text: string): string {
  return new URLSearchParams(`value=${text.replaceAll('&', '%26')}`).get('value') ?? ''
}

import type { FastifyRequest } from 'fastify'
import type { Caller } from '../access/caller.ts'
import type { Deps } from '../deps.ts'
import { AppError } from '../errors.ts'
import { type Credential, verifySecret } from '../introspection/credential.ts'
import { Secret } from '../tokens/secret.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; set by the `authenticate` hook of the scope that the route is in. */
    caller: Caller
  }
}

export type AuthenticateOptions = Pick<Deps, 'db' | 'now' | 'environment'> & { basic?: boolean }

/** An onRequest hook: no body is read before it is known who sends it. */
export function authenticate({ db, now, environment, basic = false }: AuthenticateOptions) {
  return async (request: FastifyRequest): Promise<void> => {
    const { secret, clientId } = presented(request, basic)
    const at = now()
    const principal = await verifySecret(db, secret, at, environment)
    if (!principal || (clientId !== undefined && clientId !== principal.tokenId)) {
      throw new AppError('invalid_token', 'The credential is unknown, expired or revoked.')
    }
    request.caller = { principal, actor: actorOf(principal), requestId: request.id, ip: request.ip, now: at }
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

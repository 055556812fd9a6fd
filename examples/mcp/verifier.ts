import { InvalidTokenError, ServerError } from '@modelcontextprotocol/sdk/server/auth/errors.js'
import type { OAuthTokenVerifier } from '@modelcontextprotocol/sdk/server/auth/provider.js'
import { VerificationError, type Verifier } from 'counterfoil/client'

/** Lets the MCP SDK verify tokens with Counterfoil; their audience must be this resource (RFC 8707). */
export function counterfoilTokens(verifier: Verifier, resource: URL): OAuthTokenVerifier {
  return {
    async verifyAccessToken(token) {
      try {
        const found = await verifier.verify(token, { audience: resource.href })
        const { client_id: clientId, scope, exp, sub, organization } = found
        return {
          token,
          clientId,
          resource,
          scopes: scope.split(' '),
          // The SDK rejects tokens that never expire.
          ...(exp !== undefined && { expiresAt: exp }),
          extra: { subject: sub, organization },
        }
      } catch (error) {
        if (!(error instanceof VerificationError)) throw error
        // The SDK turns any other error into 400, as if the client were at fault.
        throw error.code === 'unavailable'
          ? new ServerError(error.message)
          : new InvalidTokenError(error.message)
      }
    },
  }
}

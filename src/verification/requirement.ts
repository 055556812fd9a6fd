import type { Credential } from '../access/credential.ts'
import { AppError } from '../shared/errors.ts'
import { isSameKey } from '../shared/organization-key.ts'

/** The conditions of a gateway on a token, besides being good. */
export type Requirement = {
  /** All of these. */
  scopes: string[]
  audience: string | undefined
  /** Any of these; empty: any type. */
  types: string[]
  organizations: string[]
}

type Given = { scope?: string; audience?: string; type?: string; organization?: string }

export function requirementOf({ scope, audience, type, organization }: Given): Requirement {
  return { scopes: words(scope), audience, types: words(type), organizations: words(organization) }
}

/**
 * The found token, if it meets the requirement. One of the wrong type counts as no token (RFC 6750 §3.1:
 * `invalid_token`); for one with insufficient scope, the error names the missing scope.
 */
export function allowed(token: Credential | undefined, required: Requirement): Credential {
  const { scopes, audience, types, organizations } = required
  if (
    !token ||
    (audience !== undefined && !token.audience.includes(audience)) ||
    (types.length > 0 && !types.includes(token.type)) ||
    (organizations.length > 0 && !organizations.some((key) => isSameKey(key, token.organizationKey)))
  )
    throw new AppError('invalid_token', 'The token is unknown, expired, revoked or not accepted here.')
  const missing = scopes.filter((scope) => !token.scopes.includes(scope))
  if (missing.length === 0) return token
  const detail = `The token lacks the scope ${missing.join(' ')}.`
  throw new AppError('insufficient_scope', detail, { scope: scopes.join(' ') })
}

function words(text = ''): string[] {
  return text.split(' ').filter((word) => word !== '')
}

import type { Action, NewAuditEvent } from '../audit/audit.ts'
import type { Changes, TokenRow } from '../db/tables.ts'

/** The change log event about a token. */
export function tokenEvent(
  action: Action,
  { organizationId, id, name }: Pick<TokenRow, 'organizationId' | 'id' | 'name'>,
  changes?: Changes,
): NewAuditEvent {
  return { organizationId, action, target: { type: 'token', id, name }, ...(changes && { changes }) }
}

type Granted = Pick<
  TokenRow,
  'type' | 'ownerSubject' | 'scopes' | 'audience' | 'allowedCidrs' | 'narrowedTo' | 'notBefore' | 'expiresAt'
>

/** The access that a token gives; the change log keeps it after the token is deleted. */
export function grantSnapshot(token: Granted) {
  return {
    type: token.type,
    owner: token.ownerSubject,
    scopes: token.scopes,
    audience: token.audience,
    ...(token.allowedCidrs && { allowed_cidrs: token.allowedCidrs }),
    ...(token.narrowedTo && { narrowed_to: token.narrowedTo }),
    not_before: token.notBefore?.toISOString() ?? null,
    expires_at: token.expiresAt?.toISOString() ?? null,
  }
}

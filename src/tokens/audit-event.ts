import type { Action, NewAuditEvent } from '../audit/audit.ts'
import type { Changes, TokenRow } from '../db/tables.ts'
import type { Token } from './store.ts'

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

/** What the change log stores about a token that is deleted: enough to recognize it, but no secret and no free text. */
export function tokenSnapshot(token: Token) {
  return {
    ...grantSnapshot(token),
    owner_email: token.ownerEmail,
    identity_source: token.ownerSource,
    hint: token.hint,
    created_at: token.createdAt.toISOString(),
    created_by: token.createdBy,
    last_used_at: token.lastUsedAt?.toISOString() ?? null,
    revoked_at: token.revokedAt?.toISOString() ?? null,
    revoked_by: token.revokedBy,
    revoked_reason: token.revokedReason,
  }
}

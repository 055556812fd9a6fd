import type { TokenRow } from '../db/tables.ts'

type Granted = Pick<
  TokenRow,
  'type' | 'ownerSubject' | 'scopes' | 'audience' | 'allowedCidrs' | 'narrowedTo' | 'notBefore' | 'expiresAt'
>

/** What a token lets its holder do, for the change log: there it can still be read when the token is gone. */
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

import type { TokenRow } from '../db/tables.ts'

type Granted = Pick<TokenRow, 'type' | 'ownerSubject' | 'scopes' | 'audience' | 'notBefore' | 'expiresAt'>

/** What a token lets its holder do, for the change log: there it can still be read when the token is gone. */
export function grantOf({ type, ownerSubject, scopes, audience, notBefore, expiresAt }: Granted) {
  return { type, owner: ownerSubject, scopes, audience, not_before: notBefore, expires_at: expiresAt }
}

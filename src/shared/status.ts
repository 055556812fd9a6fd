export const statuses = ['active', 'not_yet_valid', 'expired', 'revoked'] as const
export type Status = (typeof statuses)[number]

/** The instants that decide a token's status: valid from `notBefore` (inclusive) to `expiresAt` (exclusive). */
export type Validity = { notBefore: Date | null; expiresAt: Date | null; revokedAt: Date | null }

export function statusOf({ notBefore, expiresAt, revokedAt }: Validity, now: Date): Status {
  if (revokedAt) return 'revoked'
  if (expiresAt && expiresAt <= now) return 'expired'
  if (notBefore && notBefore > now) return 'not_yet_valid'
  return 'active'
}

export const indexes = [
  // Last use is kept in token_uses, and lists are sorted by it there.
  `drop index tokens_by_use`,
  `create index tokens_revoked_by_expiry on tokens (organization_id, coalesce(expires_at, 'infinity'), id)
    where revoked_at is not null`,
]

export async function up(): Promise<void> {}

// Finds the secrets of an organization that are older than its policy allows.
export const indexes = [
  `create index token_secrets_current on token_secrets (organization_id, created_at, token_id)
    where superseded_at is null and lapses_at is null`,
]

export async function up(): Promise<void> {}

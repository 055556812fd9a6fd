import type { Db } from '../db/database.ts'
import type { SecretHash } from '../tokens/secret.ts'
import type { Credential } from './credential.ts'

export async function selectCredential(db: Db, hash: SecretHash): Promise<Credential | undefined> {
  return db
    .selectFrom('tokenSecrets')
    .innerJoin('tokens', (join) =>
      join
        .onRef('tokens.organizationId', '=', 'tokenSecrets.organizationId')
        .onRef('tokens.id', '=', 'tokenSecrets.tokenId'),
    )
    .innerJoin('organizations', 'organizations.id', 'tokens.organizationId')
    .innerJoin('tokenTypes', 'tokenTypes.name', 'tokens.type')
    .where('tokenSecrets.hash', '=', hash)
    .select([
      'tokens.id as tokenId',
      'tokens.name',
      'tokens.type',
      'tokenTypes.suspendedAt as typeSuspendedAt',
      'tokenTypes.endpoint',
      'organizations.id as organizationId',
      'organizations.key as organizationKey',
      'organizations.suspendedAt as organizationSuspendedAt',
      'tokens.ownerSubject',
      'tokens.ownerEmail',
      'tokens.ownerSource',
      'tokens.scopes',
      'tokens.audience',
      'tokens.notBefore',
      'tokens.expiresAt',
      'tokens.revokedAt',
      'tokens.createdAt',
    ])
    .executeTakeFirst()
}

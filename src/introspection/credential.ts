import type { Db } from '../db/database.ts'
import type { OwnerSource } from '../db/tables.ts'
import { type EnvironmentSecret, environmentCredential } from '../tokens/environment/environment.ts'
import type { Secret } from '../tokens/secret.ts'
import { statusOf, type Validity } from '../tokens/status.ts'
import { selectCredential } from './store.ts'

/** What an issued secret stands for: its token, and what of its organization and type matters to a decision. */
export type Credential = Validity & {
  tokenId: string
  name: string
  type: string
  typeSuspendedAt: Date | null
  endpoint: string | null
  organizationId: string
  organizationKey: string
  organizationSuspendedAt: Date | null
  ownerSubject: string | null
  ownerEmail: string | null
  ownerSource: OwnerSource | null
  scopes: string[]
  audience: string[]
  createdAt: Date
}

/** The credential behind a presented secret, if it is good now. Every reason against it looks the same from here. */
export async function verifySecret(
  db: Db,
  secret: Secret,
  now: Date,
  environment: EnvironmentSecret | undefined,
): Promise<Credential | undefined> {
  const fixed = await environmentCredential(db, environment, secret)
  if (!fixed && secret.isMistyped()) return undefined
  const credential = fixed ?? (await selectCredential(db, secret.hash()))
  return credential && isGood(credential, now) ? credential : undefined
}

function isGood(credential: Credential, now: Date): boolean {
  if (credential.organizationSuspendedAt || credential.typeSuspendedAt) return false
  return statusOf(credential, now) === 'active'
}

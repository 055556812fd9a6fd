import type { OwnerSource } from '../db/tables.ts'
import type { HashText } from '../tokens/secret.ts'
import { statusOf, type Validity } from '../tokens/status.ts'
import type { Use } from './use.ts'

/** What an issued secret stands for: its token, and what of its organization and type matters to a decision. */
export type Credential = Validity &
  Use & {
    hash: HashText
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
    /** Seconds since 1970. */
    issuedAt: number
    /** What introspection says of it, once it has. */
    answer?: string | undefined
  }

export function isGood(credential: Credential, now: Date): boolean {
  if (credential.organizationSuspendedAt || credential.typeSuspendedAt) return false
  return statusOf(credential, now) === 'active'
}

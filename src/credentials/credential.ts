import type { Narrowing } from '../access/narrowing.ts'
import { networksOf } from '../addresses.ts'
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
    /** Null: good from anywhere. Lists that are alike are one, since what is made of a list is kept with it. */
    allowedCidrs: readonly string[] | null
    narrowedTo: Narrowing | null
    /** Seconds since 1970. */
    issuedAt: number
  }

export function isGood(credential: Credential, now: Date): boolean {
  if (credential.organizationSuspendedAt || credential.typeSuspendedAt) return false
  return statusOf(credential, now) === 'active'
}

const matchers = new WeakMap<readonly string[], (address: string) => boolean>()

/** Whether it may be used from that address; one that has a list may not be used from an unknown one. */
export function isGoodFrom({ allowedCidrs }: Credential, address: string | null): boolean {
  if (allowedCidrs === null) return true
  if (address === null) return false
  const matches = matchers.get(allowedCidrs) ?? networksOf(allowedCidrs)
  matchers.set(allowedCidrs, matches)
  return matches(address)
}

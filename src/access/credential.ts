import { networksOf } from '../shared/addresses.ts'
import type { HashText } from '../shared/secret.ts'
import { type Status, statusOf, type Validity } from '../shared/status.ts'

export type OwnerSource = 'internal' | 'ldap' | 'sso'

/** The user that a token belongs to. */
export type Owner = { subject: string; email: string | null; source: OwnerSource }

/** The owner in a request, which may leave the source out. */
export type AskedOwner = Omit<Owner, 'source'> & { source: OwnerSource | undefined }

/** The tokens that a resource server may see; a token has to match every member that is present. */
export type Narrowing = { organizations?: string[]; audience?: string[]; types?: string[] }

/** A use that has not been written yet. */
export type Use = {
  uses: number
  /** The latest use, in milliseconds since 1970. */
  usedAt: number
  /** The latest known address. */
  usedFrom: string | null
  /** True for AUTH_SECRET, whose use is recorded with its organization. */
  isStatic?: true | undefined
}

export const unused = { uses: 0, usedAt: Number.NEGATIVE_INFINITY, usedFrom: null }

/** What a secret's hash resolves to: its token, and the facts of its organization, type and owner that decisions need. */
export type Credential = Validity &
  Use & {
    hash: HashText
    tokenId: string
    /** The id of the secret itself, which is that of the token until the token is rotated. */
    secretId: string
    /** When the overlap of a superseded secret ends, which `expiresAt` takes into account; null: not superseded. */
    validUntil: Date | null
    /** When a pending secret lapses; null: not pending. Its first use makes it the token's current secret. */
    lapsesAt: Date | null
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
    ownerSuspendedAt: Date | null
    scopes: string[]
    audience: string[]
    /** Null: usable from any address. Equal lists are one object, since parsed lists are cached by identity. */
    allowedCidrs: readonly string[] | null
    narrowedTo: Narrowing | null
    /** Seconds since 1970. */
    issuedAt: number
  }

export function isGood(credential: Credential, now: Date): boolean {
  return credential.lapsesAt === null && isGoodOtherwise(credential, now)
}

/** Whether a pending secret would be good as the current one. */
export function canActivate(credential: Credential, now: Date): boolean {
  return credential.lapsesAt !== null && credential.lapsesAt > now && isGoodOtherwise(credential, now)
}

/** Whether an overlap, in which the secret was good, is over. */
export function hasEnded({ validUntil }: Credential, now: Date): boolean {
  return validUntil !== null && validUntil <= now
}

function isGoodOtherwise(credential: Credential, now: Date): boolean {
  const { organizationSuspendedAt, typeSuspendedAt, ownerSuspendedAt } = credential
  if (organizationSuspendedAt || typeSuspendedAt || ownerSuspendedAt) return false
  return statusOf(credential, now) === 'active'
}

/** Why a credential is rejected. */
export function rejectionOf(credential: Credential, now: Date): Exclude<Status, 'active'> | BeyondStatus {
  const { organizationSuspendedAt, typeSuspendedAt, ownerSuspendedAt } = credential
  const status = statusOf(credential, now)
  if (status === 'revoked') return status
  if (organizationSuspendedAt || typeSuspendedAt || ownerSuspendedAt) return 'suspended'
  if (hasEnded(credential, now)) return 'superseded'
  return status === 'active' ? 'lapsed' : status
}

/** A secret whose overlap has ended, and one that was not used in time after a rotation. */
type BeyondStatus = 'suspended' | 'superseded' | 'lapsed'

const matchers = new WeakMap<readonly string[], (address: string) => boolean>()

/** Whether the token may be used from this address. An unknown address never matches a list. */
export function isGoodFrom({ allowedCidrs }: Credential, address: string | null): boolean {
  if (allowedCidrs === null) return true
  if (address === null) return false
  const matches = matchers.get(allowedCidrs) ?? networksOf(allowedCidrs)
  matchers.set(allowedCidrs, matches)
  return matches(address)
}

/** A NumericDate (RFC 7519 §2), as RFC 7662 uses it. */
export function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000)
}

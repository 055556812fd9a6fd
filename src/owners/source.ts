import type { OwnerSource } from '../access/credential.ts'
import type { KnownOwner } from '../db/known-owner.ts'
import { AppError, invalidValue } from '../shared/errors.ts'
import type { Policy } from '../shared/policy.ts'

/**
 * The source of an owner: the recorded one, regardless of the request, so that requests cannot evade rules for single
 * sign-on users by what they omit or claim. For a known owner only `sso` is taken from a request, since it can only
 * restrict.
 */
export function sourceOf(
  known: Pick<KnownOwner, 'source'> | null,
  asked: OwnerSource | undefined,
): OwnerSource | undefined {
  return asked === 'sso' ? asked : (known?.source ?? asked)
}

export function ownerSuspensionRefusal(
  known: Pick<KnownOwner, 'isSuspended'> | null,
  subject: string,
): AppError | undefined {
  return known?.isSuspended ? new AppError('suspended', `The owner ${subject} is suspended.`) : undefined
}

/** Why the policy does not allow new tokens for an owner; undefined if it does. An unknown source may be `sso`. */
export function sourceRefusal({ creation }: Policy, source: OwnerSource | undefined): AppError | undefined {
  if (creation.sso_users) return undefined
  if (source === undefined)
    return invalidValue(
      'owner.identity_source',
      'is required: the owner is unknown here, and the organization does not allow new tokens for single sign-on users',
    )
  if (source !== 'sso') return undefined
  return new AppError(
    'creation_disabled',
    'The organization does not allow new tokens for users who come through single sign-on.',
  )
}

import { isUser, type Principal } from './caller.ts'

/**
 * The holder that a slot counts for: a credential or a user with an organization, or a network until the caller is
 * known.
 */
export type Holder = { caller: string; organizationId?: string }

/** Permission for one request in progress. */
export type Slot = {
  /** Counts the slot for another holder; false if that holder already has its share. */
  moveTo(holder: Holder): boolean
  free(): void
}

export type Slots = {
  /** Undefined if all slots are taken, or the holder already has its share. */
  take(holder: Holder): Slot | undefined
}

/**
 * Limits concurrent requests: in all, to a quarter per caller and to half per organization, so that no caller or
 * organization can use up all slots.
 */
export function limitTo(most: number): Slots {
  const shares = { caller: Math.ceil(most / 4), organizationId: Math.ceil(most / 2) }
  const names = ['caller', 'organizationId'] as const
  const held = new Map<string, number>()
  let taken = 0

  function isWithinShare(holder: Holder): boolean {
    return names.every((name) => (held.get(holder[name] ?? '') ?? 0) < shares[name])
  }

  function count(holder: Holder, change: 1 | -1): void {
    taken += change
    for (const name of names) {
      const key = holder[name]
      if (key === undefined) continue
      const now = (held.get(key) ?? 0) + change
      if (now > 0) held.set(key, now)
      else held.delete(key)
    }
  }

  return {
    take(holder) {
      if (taken >= most || !isWithinShare(holder)) return undefined
      count(holder, 1)
      let current: Holder | undefined = holder
      return {
        moveTo(next) {
          if (!current) return true
          if (!isWithinShare(next)) return false
          count(current, -1)
          count(next, 1)
          current = next
          return true
        },
        free() {
          if (current) count(current, -1)
          current = undefined
        },
      }
    },
  }
}

export function holderOf(principal: Principal): Holder {
  const { organizationId } = principal
  const caller = isUser(principal) ? `${principal.issuerId} ${principal.ownerSubject}` : principal.tokenId
  return { caller, organizationId }
}

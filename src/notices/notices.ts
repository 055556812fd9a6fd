import type { Db } from '../db/database.ts'
import type { NoticeKind } from '../db/tables.ts'
import { emit, type NewEvent } from '../events/events.ts'
import { effectivePolicy, platformPolicy } from '../policy/effective.ts'
import * as store from './store.ts'

const dayMs = 24 * 60 * 60 * 1000
/** Notices are sent with this delay: a token that was created shortly before is committed by then. */
const lagMs = 60_000
const atOnce = 500

/**
 * Announces tokens that expire in as many days as the policy says, or have expired, and secrets that have become due
 * for rotation. Any number of instances may do this at any time: each token is announced once for each number of days.
 * Notices that were missed while no instance ran are sent late, but only with the smallest number of days that applies.
 */
export async function giveNotices(db: Db, now: Date): Promise<void> {
  const reached = new Date(now.getTime() - lagMs)
  const own = await store.selectOwnDays(db)
  const expiry = ascending([0, ...platformPolicy.notifications.expiry_days, ...own.expiry])
  const rotation = ascending(own.rotation)
  await store.keepPositions(db, 'expiry', expiry, (days) => daysFrom(reached, days))
  await store.keepPositions(db, 'rotation', rotation, (days) => daysFrom(reached, -days))
  for (const days of expiry) await announce(db, 'expiry', days, reached)
  for (const days of rotation) await announce(db, 'rotation', days, reached)
}

async function announce(db: Db, kind: NoticeKind, days: number, reached: Date): Promise<void> {
  const until = daysFrom(reached, kind === 'expiry' ? days : -days)
  let more = true
  while (more) {
    more = await db.transaction().execute(async (tx) => {
      const position = await store.lockPosition(tx, kind, days)
      if (!position || position.instant >= until) return false
      const select = kind === 'expiry' ? store.selectExpiring : store.selectAging
      const found = await select(tx, { after: position, until, limit: atOnce }, days)
      const wanted = found.filter((one) =>
        kind === 'expiry' ? expiresIn(one, days, reached) : isActive(one, reached),
      )
      await emit(
        tx,
        wanted.map((one) => eventOf(kind, one, days, reached)),
      )
      const end = found.length === atOnce && found.at(-1)
      await store.movePosition(
        tx,
        kind,
        days,
        end || { at: until.toISOString(), organizationId: store.last, tokenId: store.last },
      )
      return end !== false && end !== undefined
    })
  }
}

/** Whether its organization wants a notice this number of days before, and now is the time for it. */
function expiresIn(
  { policy, instant, secretCreatedAt }: store.Candidate,
  days: number,
  reached: Date,
): boolean {
  if (days === 0) return true
  const wanted = effectivePolicy(policy).notifications.expiry_days
  if (!wanted.includes(days)) return false
  // It was created or rotated with less time left than that.
  if (daysFrom(instant, -days) <= secretCreatedAt) return false
  // Late: a later notice says more.
  return ![0, ...wanted].some((fewer) => fewer < days && instant <= daysFrom(reached, fewer))
}

function isActive({ revokedAt, expiresAt }: store.Candidate, reached: Date): boolean {
  return !revokedAt && (!expiresAt || expiresAt > reached)
}

function eventOf(
  kind: NoticeKind,
  { organizationId, tokenId: subject, name, secretCreatedAt }: store.Candidate,
  days: number,
  reached: Date,
): NewEvent {
  const about = { organizationId, subject, occurredAt: new Date(reached.getTime() + lagMs) }
  if (kind === 'rotation')
    return {
      ...about,
      type: 'token.rotation_due',
      data: { name, secret_created_at: secretCreatedAt.toISOString(), every_days: days },
    }
  if (days === 0) return { ...about, type: 'token.expired', data: { name } }
  return { ...about, type: 'token.expiring', data: { name, days } }
}

function daysFrom(instant: Date, days: number): Date {
  return new Date(instant.getTime() + days * dayMs)
}

function ascending(days: number[]): number[] {
  return [...new Set(days)].sort((a, b) => a - b)
}

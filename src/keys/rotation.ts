import type { Origin } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { SigningKey } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import { platformId } from '../shared/platform.ts'
import type { NewKey } from './sealed.ts'
import * as store from './store.ts'

/** How long the JWKS may be cached, in seconds. */
export const jwksMaxAge = 600

/**
 * How long a key is published before it signs, and at least after it has signed for the last time. Twice the maximum
 * age of the JWKS would be enough: once for a shared cache and once for a verifier that counts from its own fetch. The
 * rest allows for instances and verifiers with wrong clocks.
 */
export const overlapMs = 60 * 60 * 1000

/**
 * Makes `next` the successor of the signing key. Call it under `lockKeys`, and generate `next` beforehand, so that no
 * transaction waits for prime numbers under the lock. With `immediately` the successor signs from now on; a successor
 * that is already published is preferred, since verifiers know it.
 */
export async function succeed(
  tx: Db,
  origin: Origin,
  next: NewKey,
  { immediately }: { immediately: boolean },
): Promise<string> {
  const { now } = origin
  const keys = await store.selectKeys(tx)
  const last = keys.at(-1)
  if (last && last.activatesAt > now) {
    if (!immediately) throw pending(last)
    const current = keys.find(({ retiresAt }) => retiresAt && retiresAt > now)
    if (current) await store.updateKey(tx, current.kid, { retiresAt: now })
    await store.updateKey(tx, last.kid, { activatesAt: now })
    await log(tx, origin, { kid: last.kid, previous: current?.kid ?? null, activatesAt: now })
    return last.kid
  }
  const activatesAt = immediately ? now : new Date(now.getTime() + overlapMs)
  if (last) await store.updateKey(tx, last.kid, { retiresAt: activatesAt })
  await addKey(tx, next, { createdAt: now, activatesAt })
  await log(tx, origin, { kid: next.kid, previous: last?.kid ?? null, activatesAt })
  return next.kid
}

async function addKey(tx: Db, key: NewKey, instants: { createdAt: Date; activatesAt: Date }): Promise<void> {
  await store.insertKey(tx, {
    ...key,
    publicJwk: JSON.stringify(key.publicJwk),
    sealedPrivateJwk: JSON.stringify(key.sealedPrivateJwk),
    ...instants,
  })
}

function pending({ kid, activatesAt }: SigningKey): AppError {
  return new AppError(
    'rotation_pending',
    `The key ${kid} takes over at ${activatesAt.toISOString()}. Rotate immediately if that is too late.`,
  )
}

async function log(
  tx: Db,
  origin: Origin,
  { kid, previous, activatesAt }: { kid: string; previous: string | null; activatesAt: Date },
): Promise<void> {
  await record(tx, origin, {
    organizationId: platformId,
    action: 'signing_key.rotated',
    target: { type: 'signing_key', id: kid, name: kid },
    changes: { before: { kid: previous }, after: { kid, activates_at: activatesAt } },
  })
}

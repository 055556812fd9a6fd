import { type Caller, type Origin, requirePermission } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { SigningKey } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import { platformId } from '../shared/platform.ts'
import { succeed } from './rotation.ts'
import { generateSigningKey } from './sealed.ts'
import { type Signing, sealingKey } from './signing.ts'
import * as store from './store.ts'

export const keyStates = ['upcoming', 'active', 'retiring', 'retired'] as const
export type KeyState = (typeof keyStates)[number]

/** Derived only from stored instants, so that all instances agree without communicating. */
export function stateOf(
  { activatesAt, retiresAt, retiredAt }: Pick<SigningKey, 'activatesAt' | 'retiresAt' | 'retiredAt'>,
  now: Date,
): KeyState {
  if (retiredAt) return 'retired'
  if (retiresAt && retiresAt <= now) return 'retiring'
  return activatesAt > now ? 'upcoming' : 'active'
}

export async function listSigningKeys(db: Db, caller: Caller): Promise<store.CountedKey[]> {
  requirePermission(caller, 'platform:admin')
  return store.selectCountedKeys(db, caller.now)
}

/** Newest first, including those that do not sign yet. */
export async function publishedKeys(db: Db): Promise<store.PublishedKey[]> {
  return store.selectPublishedKeys(db)
}

export async function rotateSigningKey(
  db: Db,
  caller: Caller,
  signing: Signing,
  how: { immediately: boolean },
): Promise<store.CountedKey> {
  requirePermission(caller, 'platform:admin')
  const next = await generateSigningKey(signing.alg, sealingKey(signing))
  const kid = await db.transaction().execute(async (tx) => {
    await store.lockKeys(tx)
    return succeed(tx, caller, next, how)
  })
  return (await store.findCountedKey(db, kid, caller.now)) ?? notFound()
}

/**
 * Removes a key that no longer signs from the JWKS, and returns how many tokens thereby stop verifying: those it signed
 * that are neither expired nor revoked. They still introspect as active.
 */
export async function retireSigningKey(
  db: Db,
  caller: Caller,
  kid: string,
): Promise<{ key: store.CountedKey; tokensAffected: number }> {
  requirePermission(caller, 'platform:admin')
  const wasRetiring = await db.transaction().execute(async (tx) => {
    await store.lockKeys(tx)
    const found = (await store.selectKeys(tx)).find((candidate) => candidate.kid === kid) ?? notFound()
    const state = stateOf(found, caller.now)
    if (state === 'upcoming' || state === 'active')
      throw new AppError('in_use', `The key ${kid} is ${state}: rotate first, so that another one signs.`)
    if (state === 'retiring') await retire(tx, caller, kid)
    return state === 'retiring'
  })
  // Counted after the update, which waited for tokens that were being signed, and outside the lock.
  const key = (await store.findCountedKey(db, kid, caller.now)) ?? notFound()
  return { key, tokensAffected: wasRetiring ? key.liveTokens : 0 }
}

/** Deletes its private part too. */
export async function retire(tx: Db, origin: Origin, kid: string): Promise<void> {
  await store.updateKey(tx, kid, { retiredAt: origin.now, sealedPrivateJwk: null })
  await record(tx, origin, {
    organizationId: platformId,
    action: 'signing_key.retired',
    target: { type: 'signing_key', id: kid, name: kid },
  })
}

function notFound(): never {
  throw new AppError('not_found', 'There is no such signing key.')
}

import { v7 as uuid } from 'uuid'
import type { Origin } from '../access/caller.ts'
import { eventOf, record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { LeakReaction } from '../db/tables.ts'
import { effectivePolicy } from '../policy/effective.ts'
import type { SecretHash } from '../shared/secret.ts'
import { statusOf } from '../shared/status.ts'
import { tokenEvent } from './audit-event.ts'
import { type Issuing, mintSecret } from './create/mint.ts'
import { revisionsOf } from './create/rules-store.ts'
import { revokeLocked } from './revoke.ts'
import { supersedeCurrent, superseded } from './rotate/overlap.ts'
import { lockForRotation } from './rotate/rotate.ts'
import * as secrets from './rotate/store.ts'
import { findToken } from './store.ts'

type Leaked = { organizationId: string; tokenId: string; hash: SecretHash }

/** Applies the policy to a secret that leaked. Tokens that are no longer good need no reaction. */
export async function reactToLeak(
  tx: Db,
  origin: Origin,
  { organizationId, tokenId: id, hash }: Leaked,
  issuing: Issuing,
): Promise<LeakReaction> {
  const found = await findToken(tx, { organizationId, id })
  if (!found) return 'none'
  const held = await lockForRotation(tx, found)
  const { token, rules, live } = held
  const status = statusOf(token, origin.now)
  if (status === 'revoked' || status === 'expired' || !live.some((one) => one.hash.equals(hash)))
    return 'none'
  const { on_leak: reaction } = effectivePolicy(rules.organization.policy)
  if (reaction === 'notify') return 'notified'
  if (reaction === 'revoke') {
    await revokeLocked(tx, origin, token, 'The secret leaked')
    return 'revoked'
  }
  await replace(tx, origin, held, { hash, issuing })
  return 'rotated'
}

/**
 * A current secret stays good for the default overlap, so that its holders have time to change it, but can no longer
 * rotate the token. Its successor is never shown: rotating the token again replaces it.
 */
async function replace(
  tx: Db,
  origin: Origin,
  { token, rules, type, live }: Awaited<ReturnType<typeof lockForRotation>>,
  { hash, issuing }: { hash: SecretHash; issuing: Issuing },
): Promise<void> {
  const { now } = origin
  const leaked = live.find((one) => one.hash.equals(hash)) as secrets.LiveSecret
  const before = { secret_id: leaked.id, hint: leaked.hint }
  if (leaked.lapsesAt) {
    await secrets.changeSecrets(tx, [{ hash, becomes: 'deleted' }])
    await record(tx, origin, tokenEvent('token.rotation_cancelled', token, { before, after: {} }))
  } else if (leaked.supersededAt) {
    await secrets.changeSecrets(tx, [superseded(leaked, now)])
    await record(tx, origin, tokenEvent('token.rotation_finished', token, { before, after: {} }))
  } else {
    const { default_overlap_seconds: overlapSeconds } = effectivePolicy(rules.organization.policy).rotation
    const id = uuid()
    const facts = { ...token, secretId: id, type, createdAt: now }
    const { secret, signedBy } = await mintSecret(tx, issuing, facts)
    const hint = secret.hint()
    const after = { secret_id: id, hint, activation: 'now', overlap_seconds: overlapSeconds }
    await secrets.storeRotationInTransaction(tx, {
      token,
      made: { hash: secret.hash(), id, hint, signedBy, pending: null },
      changes: supersedeCurrent(token, live, { overlapSeconds, now }),
      expiresAt: undefined,
      now,
      revisions: revisionsOf(rules.organization, type),
      event: eventOf(origin, tokenEvent('token.rotated', token, { before, after })),
    })
  }
}

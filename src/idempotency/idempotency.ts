import { type Caller, isUser } from '../access/caller.ts'
import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import { AppError } from '../shared/errors.ts'
import type { Secret } from '../shared/secret.ts'
import { deriveSeal } from './seal.ts'
import * as store from './store.ts'

/** The Idempotency-Key, if any, and every part of the request that must be the same in a retry. */
export type Attempt = { key: Secret | undefined; request: unknown }

export type Outcome<Answer> = { answer: Answer; replayed: boolean }

const windowMs = 24 * 60 * 60 * 1000

/**
 * Does the work once per key, principal and organization: a retry with the same key and the same request gets the first
 * response, and waits for it if it is still being produced. The response is stored in the transaction of the work,
 * encrypted so that only the client's key opens it. Failed work is not stored.
 */
export async function once<Answer>(
  db: Db,
  caller: Caller,
  { organizationId, key, request }: { organizationId: string; key: Secret; request: unknown },
  work: (tx: Db) => Promise<Answer>,
): Promise<Outcome<Answer>> {
  const seal = deriveSeal(key, [organizationId, ...identityOf(caller)])
  const fingerprint = seal.fingerprint(JSON.stringify(request))
  const { hash } = seal
  const expiresAt = new Date(caller.now.getTime() + windowMs)
  return db.transaction().execute(async (tx) => {
    if (await store.claimKey(tx, { hash, organizationId, fingerprint, expiresAt, now: caller.now })) {
      const answer = await work(tx)
      await store.keepAnswer(tx, hash, seal.close(JSON.stringify(answer), fingerprint))
      await store.deleteExpired(tx, caller.now, 100)
      return { answer, replayed: false }
    }
    const kept = await store.findAnswer(tx, hash)
    if (!kept?.answer)
      throw new AppError(
        'unavailable',
        'The first request with this Idempotency-Key has just ended; try again.',
      )
    if (!kept.fingerprint.equals(fingerprint)) {
      throw new AppError('idempotency_key_reused', 'This Idempotency-Key was used for a different request.', {
        fields: [{ in: 'header', field: 'idempotency-key', detail: 'was used for a different request' }],
      })
    }
    return { answer: JSON.parse(seal.open(kept.answer, fingerprint)) as Answer, replayed: true }
  })
}

/** Unique per principal: a subject is unique only within its issuer's registration. */
function identityOf({ principal }: Caller): string[] {
  return isUser(principal) ? [principal.issuerId, principal.ownerSubject] : [principal.tokenId]
}

/** Deletes expired answers in batches. */
export async function deleteExpiredAnswers(db: Db, now: Date): Promise<void> {
  await inBatches(() => store.deleteExpired(db, now, batchSize))
}

import { generateKeyPairSync } from 'node:crypto'
import { type CryptoKey, importJWK, type JWK } from 'jose'
import type { Db } from '../db/database.ts'
import type { LogState, SealedJwk } from '../db/tables.ts'
import { reseal, seal, unsealPrivateJwk } from '../keys/sealed.ts'
import { type Signing, sealingKey } from '../keys/signing.ts'
import { AppError } from '../shared/errors.ts'
import type { VerifierKey } from './note.ts'
import * as store from './store.ts'

/** Signs checkpoints. Apart from the keys that sign JWTs: it names the log, and verifiers keep it for years. */
export type LogKey = VerifierKey & { privateKey: CryptoKey }

const purpose = 'sign the checkpoints of the change log'

/** A key for a log that has none; the private part leaves this function only sealed. */
export async function generateLogKey(
  name: string,
  signing: Signing,
): Promise<VerifierKey & { sealedPrivateJwk: SealedJwk }> {
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' }) as JWK
  const sealedPrivateJwk = await seal(jwk, name, sealingKey(signing, purpose))
  return { name, publicKey: Buffer.from(jwk.x ?? '', 'base64url'), sealedPrivateJwk }
}

export async function openLogKey(
  { name, publicKey, sealedPrivateJwk }: VerifierKey & { sealedPrivateJwk: SealedJwk },
  { masterKeys }: Signing,
): Promise<LogKey> {
  const jwk = await unsealPrivateJwk(sealedPrivateJwk, name, masterKeys)
  if (!jwk) throw cannotOpen()
  return { name, publicKey, privateKey: (await importJWK({ ...jwk, ext: false }, 'EdDSA')) as CryptoKey }
}

/** The key that verifies the checkpoints; undefined before the first one. */
export function verifierKeyOf({ origin, publicKey }: LogState): VerifierKey | undefined {
  return origin !== null && publicKey !== null ? { name: origin, publicKey } : undefined
}

/** Reseals the key under the first master key, and returns how many there are. */
export async function rewrapLogKey(db: Db, signing: Signing): Promise<number> {
  const masterKey = sealingKey(signing, purpose)
  return db.transaction().execute(async (tx) => {
    const { origin, sealedPrivateJwk } = await store.waitForState(tx)
    if (origin === null || !sealedPrivateJwk) return 0
    const resealed = await reseal(sealedPrivateJwk, origin, signing.masterKeys, masterKey)
    if (!resealed) throw cannotOpen()
    await store.updateState(tx, { sealedPrivateJwk: JSON.stringify(resealed) })
    return 1
  })
}

/** Makes the next checkpoint be signed by a new key if none of the master keys opens this one; returns whether that is so. */
export async function dropLostLogKey(db: Db, signing: Signing): Promise<boolean> {
  return db.transaction().execute(async (tx) => {
    const { origin, sealedPrivateJwk } = await store.waitForState(tx)
    const isLost =
      origin !== null &&
      sealedPrivateJwk !== null &&
      !(await unsealPrivateJwk(sealedPrivateJwk, origin, signing.masterKeys))
    if (isLost) await store.updateState(tx, { publicKey: null, sealedPrivateJwk: null, checkpointSize: '0' })
    return isLost
  })
}

function cannotOpen(): AppError {
  return new AppError(
    'unavailable',
    'MASTER_KEY does not open the key of the transparency log: set the key that sealed it as MASTER_KEY or MASTER_KEY_PREVIOUS.',
  )
}

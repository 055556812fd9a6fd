import type { KeyObject } from 'node:crypto'
import { type CryptoKey, type JWTPayload, SignJWT } from 'jose'
import type { Db } from '../db/database.ts'
import type { SigningAlg, SigningKey } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import { openSigningKey } from './sealed.ts'
import { findSigner, holdSigner } from './store.ts'

/** How this instance signs: the first master key seals, any of them opens, and without one nothing is signed. */
export type Signing = { masterKeys: readonly KeyObject[]; alg: SigningAlg }

/** A key that is ready to sign. */
export type Signer = { kid: string; alg: SigningAlg; key: CryptoKey }

export function canSign({ masterKeys }: Signing): boolean {
  return masterKeys.length > 0
}

/** The master key that seals new keys. */
export function sealingKey(
  { masterKeys: [masterKey] }: Signing,
  purpose = 'issue tokens of the format jwt',
): KeyObject {
  if (masterKey) return masterKey
  throw new AppError(
    'signing_unavailable',
    `This Counterfoil has no master key: set MASTER_KEY (or MASTER_KEY_FILE) to ${purpose}.`,
  )
}

export async function activeSigner(db: Db, signing: Signing, now: Date): Promise<Signer> {
  return open(signing, await findSigner(db, now))
}

/** For signing something that is stored: keeps the key from being retired before the transaction ends. */
export async function holdActiveSigner(tx: Db, signing: Signing, now: Date): Promise<Signer> {
  return open(signing, await holdSigner(tx, now))
}

/** A compact JWS with the given `typ`, which keeps one kind of JWT from being mistaken for another (RFC 8725 §3.11). */
export async function signJwt({ kid, alg, key }: Signer, typ: string, claims: JWTPayload): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg, kid, typ }).sign(key)
}

async function open(signing: Signing, row: SigningKey | undefined): Promise<Signer> {
  sealingKey(signing)
  const sealed = row?.sealedPrivateJwk
  if (!row || !sealed)
    throw new AppError('unavailable', 'The signing key was just replaced. Try again shortly.')
  const key = await openSigningKey(sealed, row, signing.masterKeys)
  if (!key)
    throw new AppError('unavailable', 'The master key of this instance does not open the signing key.')
  return { kid: row.kid, alg: row.alg, key }
}

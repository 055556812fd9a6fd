import type { KeyObject } from 'node:crypto'
import type { Db } from '../db/database.ts'
import type { TrustedIssuer } from '../db/tables.ts'
import { reseal, sealText, unsealText } from '../keys/sealed.ts'
import { type Signing, sealingKey } from '../keys/signing.ts'
import { AppError, invalidValue } from '../shared/errors.ts'
import * as store from './store.ts'

type Client = Pick<TrustedIssuer, 'id' | 'issuer' | 'clientId'>

/**
 * The client secret to store for a registration; undefined: unchanged. Another issuer or client never gets the secret
 * that was given for the previous one.
 */
export async function sealedClientSecret(
  given: string | undefined,
  { id, issuer, clientId }: Client,
  before: TrustedIssuer | undefined,
  [masterKey]: readonly KeyObject[],
): Promise<string | null | undefined> {
  if (given === undefined) {
    if (!before?.clientSecret) return undefined
    if (clientId === null) return null
    if (issuer === before.issuer && clientId === before.clientId) return undefined
    throw invalidValue('client_secret', 'must be given again, since issuer or client_id changes')
  }
  if (clientId === null) throw invalidValue('client_secret', 'needs client_id')
  if (!masterKey)
    throw invalidValue(
      'client_secret',
      'needs a master key that encrypts it: set MASTER_KEY (or MASTER_KEY_FILE)',
    )
  return JSON.stringify(await sealText(given, id, masterKey))
}

/** Undefined: a public client. */
export async function clientSecretOf(
  { id, clientSecret }: TrustedIssuer,
  masterKeys: readonly KeyObject[],
): Promise<string | undefined> {
  if (clientSecret === null) return undefined
  const text = await unsealText(clientSecret, id, masterKeys)
  if (text !== undefined) return text
  throw new AppError('unavailable', 'No master key opens client_secret: set it again.')
}

/** Reseals every client secret under the first master key, all or none, and returns how many there are. */
export async function rewrapClientSecrets(db: Db, signing: Signing): Promise<number> {
  const masterKey = sealingKey(signing, 'sign in with client secrets')
  return db.transaction().execute(async (tx) => {
    const issuers = await store.lockIssuersWithSecret(tx)
    for (const issuer of issuers) {
      const { id, clientSecret } = issuer
      const resealed = clientSecret && (await reseal(clientSecret, id, signing.masterKeys, masterKey))
      if (!resealed)
        throw new AppError('unavailable', `MASTER_KEY does not open the client_secret of the issuer ${id}.`)
      await store.resealIssuer(tx, issuer, JSON.stringify(resealed))
    }
    return issuers.length
  })
}

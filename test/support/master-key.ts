import { type KeyObject, randomBytes } from 'node:crypto'
import type { Db } from '../../src/db/database.ts'
import { parseMasterKey } from '../../src/keys/master-key.ts'
import { unsealPrivateJwk } from '../../src/keys/sealed.ts'
import { recordSecret } from './records.ts'

/** A master key for a test; tests must not store or log it. */
export function newMasterKey(): KeyObject {
  const text = randomBytes(32).toString('base64')
  recordSecret(text)
  return parseMasterKey(text)
}

/** Records the private parts of every key in the database, for the search at the end of the run. */
export async function recordPrivateKeys(db: Db, masterKeys: readonly KeyObject[]): Promise<void> {
  const keys = await db.selectFrom('signingKeys').select(['kid', 'sealedPrivateJwk']).execute()
  const logs = await db.selectFrom('logState').select(['origin as kid', 'sealedPrivateJwk']).execute()
  for (const { kid, sealedPrivateJwk } of [...keys, ...logs]) {
    const jwk =
      kid && sealedPrivateJwk ? await unsealPrivateJwk(sealedPrivateJwk, kid, masterKeys) : undefined
    for (const member of [jwk?.d, jwk?.p, jwk?.q]) if (member) recordSecret(member)
  }
}

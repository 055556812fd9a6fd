import { v7 as uuid } from 'uuid'
import type { Actor, Origin } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { SigningKey } from '../db/tables.ts'
import { ConfigError } from '../shared/config-files.ts'
import { platformId } from '../shared/platform.ts'
import { retire } from './keys.ts'
import { overlapMs, succeed } from './rotation.ts'
import { generateSigningKey, openSigningKey, reseal } from './sealed.ts'
import { canSign, type Signing, sealingKey } from './signing.ts'
import * as store from './store.ts'

const dayMs = 24 * 60 * 60 * 1000
const maintainEveryMs = 60 * 60 * 1000

/** At startup: creates the first key, which signs at once, or ensures that the current one can be opened. */
export async function prepareKeys(db: Db, signing: Signing, now: Date): Promise<void> {
  if (!canSign(signing)) return
  await db.transaction().execute(async (tx) => {
    await store.lockKeys(tx)
    const signer = await store.findSigner(tx, now)
    if (!signer) {
      const first = await generateSigningKey(signing.alg, sealingKey(signing))
      await succeed(tx, system('start', 'First start', now), first, { immediately: true })
    } else if (!(await opens(signer, signing))) throw cannotOpen(signer.kid)
  })
}

/** The key that signs now, if it can be opened; undefined before the first start with a master key. */
export async function checkKeys(db: Db, signing: Signing, now: Date): Promise<SigningKey | undefined> {
  const signer = await store.findSigner(db, now)
  if (signer && !(await opens(signer, signing))) throw cannotOpen(signer.kid)
  return signer
}

async function opens(signer: SigningKey, { masterKeys }: Signing): Promise<boolean> {
  const { sealedPrivateJwk } = signer
  return sealedPrivateJwk !== null && !!(await openSigningKey(sealedPrivateJwk, signer, masterKeys))
}

/** The `rotate-keys` command. It opens no key, so it also works after the master key was lost. */
export async function rotateKeys(
  db: Db,
  signing: Signing,
  now: Date,
  how: { immediately: boolean },
): Promise<SigningKey> {
  const next = await generateSigningKey(signing.alg, sealingKey(signing))
  return db.transaction().execute(async (tx) => {
    await store.lockKeys(tx)
    const kid = await succeed(tx, system('cli', 'Command line', now), next, how)
    const keys = await store.selectKeys(tx)
    return keys.find((key) => key.kid === kid) ?? raise(`the key ${kid}, just inserted, cannot be found`)
  })
}

/**
 * Rotates when the last key has signed for `rotationDays` (0: never), deletes private keys that no longer sign, and
 * retires keys whose last token has expired. Any number of instances may do this at any time.
 */
export async function maintainKeys(db: Db, signing: Signing, rotationDays: number, now: Date): Promise<void> {
  const due = canSign(signing) && rotationDays > 0 && isOlder(await lastActivation(db), rotationDays, now)
  const next = due ? await generateSigningKey(signing.alg, sealingKey(signing)) : undefined
  const signsNoMore = ({ retiresAt, retiredAt }: SigningKey) =>
    !retiredAt && retiresAt !== null && retiresAt.getTime() + overlapMs <= now.getTime()
  // Read before taking the lock: it may be slow, and a key that no longer signs gets no new tokens.
  const idle = new Set<string>()
  for (const { kid } of (await store.selectKeys(db)).filter(signsNoMore))
    if (!(await store.hasLiveTokens(db, kid, now))) idle.add(kid)
  await db.transaction().execute(async (tx) => {
    await store.lockKeys(tx)
    const origin = system('schedule', 'Key rotation', now)
    // Another instance may have rotated in the meantime.
    if (next && isOlder(await lastActivation(tx), rotationDays, now))
      await succeed(tx, origin, next, { immediately: false })
    for (const { kid, sealedPrivateJwk } of (await store.selectKeys(tx)).filter(signsNoMore)) {
      if (idle.has(kid)) await retire(tx, origin, kid)
      else if (sealedPrivateJwk) await store.updateKey(tx, kid, { sealedPrivateJwk: null })
    }
  })
}

/** Reseals every private key under the first master key, all or none, and returns how many there are. */
export async function rewrapKeys(db: Db, signing: Signing, now: Date): Promise<number> {
  const masterKey = sealingKey(signing)
  return db.transaction().execute(async (tx) => {
    await store.lockKeys(tx)
    const origin = system('cli', 'Command line', now)
    let count = 0
    for (const { kid, sealedPrivateJwk } of await store.selectKeys(tx)) {
      if (!sealedPrivateJwk) continue
      const resealed = await reseal(sealedPrivateJwk, kid, signing.masterKeys, masterKey)
      if (!resealed) throw cannotOpen(kid)
      await store.updateKey(tx, kid, { sealedPrivateJwk: JSON.stringify(resealed) })
      await record(tx, origin, {
        organizationId: platformId,
        action: 'signing_key.rewrapped',
        target: { type: 'signing_key', id: kid, name: kid },
      })
      count++
    }
    return count
  })
}

async function lastActivation(db: Db): Promise<Date | undefined> {
  return (await store.selectKeys(db)).at(-1)?.activatesAt
}

function isOlder(instant: Date | undefined, days: number, now: Date): boolean {
  return instant !== undefined && now.getTime() - instant.getTime() >= days * dayMs
}

function system(id: string, name: string, now: Date): Origin {
  const actor: Actor = { type: 'system', id, name }
  return { actor, requestId: uuid(), ip: null, now }
}

function cannotOpen(kid: string): ConfigError {
  return new ConfigError(
    `MASTER_KEY does not open the signing key ${kid}: set the key that sealed it as MASTER_KEY or MASTER_KEY_PREVIOUS.`,
  )
}

function raise(message: string): never {
  throw new Error(message)
}

/** Maintains the keys once an hour until it is stopped; failures are logged and retried an hour later. */
export function scheduleKeyMaintenance(
  db: Db,
  signing: Signing,
  rotationDays: number,
  log: { error(facts: object, message: string): void },
): { stop(): Promise<void> } {
  let running = Promise.resolve()
  const maintain = () => {
    running = maintainKeys(db, signing, rotationDays, new Date()).catch((err: unknown) => {
      log.error({ err }, 'signing-key maintenance failed')
    })
  }
  maintain()
  const timer = setInterval(maintain, maintainEveryMs).unref()
  return {
    async stop() {
      clearInterval(timer)
      await running
    },
  }
}

import { Gauge, type Registry } from 'prom-client'
import type { Db } from '../db/database.ts'
import { findSigner } from './store.ts'

/** Returns a function that reads since when the signing key has been signing, which is the same for every process. */
export function measureSigningKey(registry: Registry, db: Db): (now: Date) => Promise<void> {
  const activated = new Gauge({
    name: 'counterfoil_signing_key_activated_seconds',
    help: 'When the key that signs JWTs was activated, in seconds since 1970; 0 without one',
    aggregator: 'max',
    registers: [registry],
  })
  return async (now) => {
    const signer = await findSigner(db, now)
    activated.set(signer ? signer.activatesAt.getTime() / 1000 : 0)
  }
}

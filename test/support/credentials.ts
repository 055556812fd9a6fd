import { EventEmitter, once } from 'node:events'
import { sql } from 'kysely'
import type { Test } from 'tap'
import type { Caller } from '../../src/access/caller.ts'
import {
  type CredentialVerifier,
  type CredentialVerifierOptions,
  createCredentialVerifier,
} from '../../src/credentials/credential-verifier.ts'
import { leaseMs } from '../../src/credentials/lease.ts'
import { Secret } from '../../src/shared/secret.ts'
import type { World } from './world.ts'

/** The administrator, as domain functions receive it. */
export async function callerOf({ credentials, admin, clock: { now } }: World): Promise<Caller> {
  const principal = await credentials.verify(new Secret(admin), now)
  if (!principal) throw new Error('the administrator is unknown')
  const actor = { type: 'token', id: principal.tokenId, name: principal.name } as const
  return { principal, actor, requestId: 'test', ip: null, now }
}

/** A clock that stands still unless it is advanced. */
export function createTime() {
  let ms = 0
  const repeated = new Set<() => void>()
  return {
    elapsed: () => ms,
    every(_ms: number, run: () => void) {
      repeated.add(run)
      return () => void repeated.delete(run)
    },
    /** Advances to where the newest beat is too old. */
    outlive() {
      ms += leaseMs
    },
    /** Runs the intervals that are due, repeatedly. */
    tick() {
      for (const run of repeated) run()
    },
  }
}

/** The cache of another process on the same database, whose beats the test triggers. */
export type Instance = {
  credentials: CredentialVerifier
  time: ReturnType<typeof createTime>
  /** Resolves when the lease is acquired (true) or lost (false). */
  lease(holds: boolean): Promise<void>
  /** Whether it accepts the secret. */
  accepts(secret: string): Promise<boolean>
  /** Looks up a good secret when no more notifications are pending, so that it stays cached. */
  learn(secret: string): Promise<void>
}

export async function startInstance(
  t: Test,
  world: World,
  options: Partial<CredentialVerifierOptions> = {},
): Promise<Instance> {
  const time = createTime()
  const events = new EventEmitter()
  let held = false
  const credentials = createCredentialVerifier({
    databaseUrl: world.databaseUrl,
    cacheSize: 1000,
    ...time,
    ...options,
    onError(error) {
      options.onError?.(error)
      events.emit('news')
    },
    onLease(holds) {
      held = holds
      events.emit('news')
    },
  })
  t.teardown(() => credentials.close())
  const lease = async (holds: boolean) => {
    while (held !== holds) {
      // On a busy machine, connecting may time out; the next attempt is due with the next tick.
      if (holds) time.tick()
      await once(events, 'news')
    }
  }
  const accepts = async (secret: string) =>
    (await credentials.verify(new Secret(secret), world.clock.now)) !== undefined
  return {
    credentials,
    time,
    lease,
    accepts,
    async learn(secret) {
      await credentials.settled()
      if (!(await accepts(secret))) throw new Error('it is not good')
    },
  }
}

/** Revokes by SQL without a notification: whatever still accepts the token answers from its cache. */
export async function revokeWithoutNotification(world: World, id: string): Promise<void> {
  await world.db.transaction().execute(async (tx) => {
    await sql`alter table tokens disable trigger tokens_announce_change`.execute(tx)
    await sql`update tokens set revoked_at = now() where id = ${id}`.execute(tx)
    await sql`alter table tokens enable trigger tokens_announce_change`.execute(tx)
  })
}

/** Revokes by SQL, as an operator might. */
export async function revokeBySql(world: World, id: string): Promise<void> {
  await sql`update tokens set revoked_at = now() where id = ${id}`.execute(world.db)
}

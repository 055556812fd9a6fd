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
import { Secret } from '../../src/tokens/secret.ts'
import type { World } from './world.ts'

/** The administrator, as domain functions are given it. */
export async function callerOf({ credentials, admin, clock: { now } }: World): Promise<Caller> {
  const principal = await credentials.verify(new Secret(admin), now)
  if (!principal) throw new Error('the administrator is unknown')
  const actor = { type: 'token', id: principal.tokenId, name: principal.name } as const
  return { principal, actor, requestId: 'test', ip: null, now }
}

/** Time that stands still unless it is moved. */
export function createTime() {
  let ms = 0
  const repeated = new Set<() => void>()
  return {
    elapsed: () => ms,
    every(_ms: number, run: () => void) {
      repeated.add(run)
      return () => void repeated.delete(run)
    },
    /** Moves to where the newest beat is too old. */
    outlive() {
      ms += leaseMs
    },
    /** Does what is due again and again. */
    tick() {
      for (const run of repeated) run()
    },
  }
}

/** What another process on the same database has in memory, with a heart that beats only when told to. */
export type Instance = {
  credentials: CredentialVerifier
  time: ReturnType<typeof createTime>
  /** Resolves when answers begin (true) or cease (false) to come from memory. */
  lease(holds: boolean): Promise<void>
  /** Whether it takes the secret for good. */
  accepts(secret: string): Promise<boolean>
  /** Asks for a good secret when nothing is announced any more, so that it is in memory from then on. */
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
      // On a busy machine an attempt to connect may time out; the next one is due with the next tick.
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

/** Revokes by SQL in a way that nobody hears of: what still takes the token for good answers from memory. */
export async function revokeUnheard(world: World, id: string): Promise<void> {
  await world.db.transaction().execute(async (tx) => {
    await sql`alter table tokens disable trigger tokens_announce_change`.execute(tx)
    await sql`update tokens set revoked_at = now() where id = ${id}`.execute(tx)
    await sql`alter table tokens enable trigger tokens_announce_change`.execute(tx)
  })
}

/** Revokes as somebody would by hand. */
export async function revokeBySql(world: World, id: string): Promise<void> {
  await sql`update tokens set revoked_at = now() where id = ${id}`.execute(world.db)
}

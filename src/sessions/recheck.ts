import { setTimeout } from 'node:timers/promises'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { Session } from '../db/tables.ts'
import { type ConsoleIssuer, findIssuerOfSession } from '../issuers/console.ts'
import { userFrom } from '../issuers/user.ts'
import { AppError } from '../shared/errors.ts'
import { openWith, sealWith } from './cookie-key.ts'
import { asFailure, type Provider, type ProviderTokens } from './provider.ts'
import { type Check, end, limits, loggedAs, type Recheck, system } from './sessions.ts'
import * as store from './store.ts'

/** Longer than any check takes: metadata, refresh, keys and userinfo have a timeout of five seconds each. */
const claimMs = 30_000

/** How long other requests of the session wait for the check that one of them makes, and how often they poll. */
const wait = { forMs: 10_000, everyMs: 50 }

/** Checks at the provider that a user may still sign in, and updates their claims, unless the last check is recent. */
export function createRecheck(db: Db, provider: Provider): Recheck {
  async function confirmAt(
    registration: ConsoleIssuer,
    session: Session,
    { secret, now }: Check,
  ): Promise<Session | undefined> {
    const { providerTokens, claims: before } = session
    if (providerTokens === null || before === null) return session
    const known: ProviderTokens = JSON.parse(await openWith(secret, 'provider_tokens', providerTokens))
    const sealed = (tokens: ProviderTokens) => sealWith(secret, 'provider_tokens', JSON.stringify(tokens))
    const { claims, tokens } = await provider.confirm(registration, {
      claims: before,
      tokens: known,
      now,
      keep: async (tokens) => store.updateSession(db, session.id, { providerTokens: await sealed(tokens) }),
    })
    const permissions = userFrom(before, registration).permissions
    const left = userFrom(claims, registration).permissions
    const values = {
      claims: JSON.stringify(claims),
      ...(!tokens && { providerTokens: null, expiresAt: new Date(now.getTime() + limits.uncheckedMs) }),
      checkedAt: now,
      checkClaimedUntil: null,
    }
    return db.transaction().execute(async (tx) => {
      const checked = await store.updateSession(tx, session.id, values)
      if (checked && permissions.join() !== left.join())
        await record(tx, system(now), {
          action: 'session.updated',
          ...loggedAs(checked),
          changes: { before: { permissions }, after: { permissions: left } },
        })
      return checked
    })
  }

  /** Only one request checks at a time, over all instances: a refresh token may be good only once. */
  async function askProvider(session: Session, check: Check): Promise<Session | undefined> {
    const registration = await findIssuerOfSession(db, session)
    // `currentUser` ends the session. Its tokens must not be sent to the issuer that has replaced this one.
    if (!registration) return session
    const until = new Date(check.now.getTime() + claimMs)
    const checkedBefore = new Date(check.now.getTime() - limits.recheckMs)
    const claimed = await store.claimCheck(db, session.id, { checkedBefore, now: check.now, until })
    if (!claimed) return waitForOther(session, check.now)
    try {
      return await confirmAt(registration, claimed, check)
    } catch (error) {
      const { failure, message } = asFailure(error)
      if (failure === 'unavailable') {
        await store.updateSession(db, session.id, { checkClaimedUntil: null })
        throw unavailable(message)
      }
      const remove = (tx: Db) => store.deleteSession(tx, session.id)
      await end(db, system(check.now), remove, { reason: 'provider_rejected', detail: message })
      return undefined
    }
  }

  async function waitForOther({ id }: Session, now: Date): Promise<Session | undefined> {
    const deadline = performance.now() + wait.forMs
    while (performance.now() < deadline) {
      const session = await store.findById(db, id)
      if (!session || isChecked(session, now)) return session
      if (session.checkClaimedUntil === null) break
      await setTimeout(wait.everyMs)
    }
    throw unavailable('the check by another request has failed')
  }

  return async (session, check) => {
    if (session.providerTokens === null || isChecked(session, check.now)) return session
    try {
      return await askProvider(session, check)
    } catch (error) {
      const isUnavailable = error instanceof AppError && error.code === 'unavailable'
      if (isUnavailable && check.isRead && age(session, check.now) < limits.graceMs) return session
      throw error
    }
  }
}

function isChecked(session: Session, now: Date): boolean {
  return age(session, now) < limits.recheckMs
}

function age({ checkedAt }: Session, now: Date): number {
  return now.getTime() - (checkedAt?.getTime() ?? 0)
}

function unavailable(reason: string): AppError {
  const detail =
    'The identity provider does not respond, so your session cannot be confirmed; try again later.'
  return new AppError('unavailable', detail, { cause: new Error(reason) })
}

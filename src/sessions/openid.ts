import { LRUCache } from 'lru-cache'
import * as openid from 'openid-client'
import type { Actor, Origin, User } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { Session, TrustedIssuer } from '../db/tables.ts'
import {
  type ConsoleIssuer,
  findConsoleIssuer,
  findIssuerById,
  findIssuerOfSession,
} from '../issuers/console.ts'
import { redirectUriOf } from '../issuers/registration.ts'
import { userOf } from '../issuers/sign-in.ts'
import { createShares } from '../outbound/shares.ts'
import { AppError } from '../shared/errors.ts'
import { generateSecret, Secret } from '../shared/secret.ts'
import { derived, openWith } from './cookie-key.ts'
import { asFailure, type Failure, type Provider, SignInError } from './provider.ts'
import type { SignedInUser } from './sessions.ts'

/** How many sign-ins may wait for the issuers of one organization, and for all issuers. */
const most = { ofOne: 5, ofAll: 25 }

/** How many failed sign-ins of an organization each instance logs per hour: anyone can cause them. */
const maxFailures = 20

/** A server may reject longer URLs. */
const longestHint = 4_000

/** `issuer` is PUBLIC_URL. */
export type OpenidDeps = { db: Db; provider: Provider; issuer: string }

/** `place` is where the user continues in the console; the cookie has it. */
type Start = { issuer: string; organization: string | undefined; place: string }
type Return = { issuer: string; pending: Secret | undefined; url: URL }
export type Finished = SignedInUser & { user: User; place: string }

/** Sign-in to the console by OpenID Connect: authorization code flow with PKCE, and RP-initiated logout. */
export function createOpenid({ db, provider, issuer: publicUrl }: OpenidDeps) {
  const enter = createShares(most)
  const failures = new LRUCache<string, number>({ max: 1000, ttl: 60 * 60_000, noUpdateTTL: true })

  async function redeem(registration: ConsoleIssuer, secret: Secret, { url, now }: { url: URL; now: Date }) {
    const leave = enter(registration.organizationId)
    if (!leave) throw new SignInError('unavailable', 'too many sign-ins wait for the issuer')
    try {
      const { state, nonce, verifier } = valuesOf(secret, registration.id)
      const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier }
      return await provider.redeem(registration, url, { checks, now })
    } finally {
      leave()
    }
  }

  /** The actor is the user, if the issuer has confirmed one. */
  async function logFailure(
    { organizationId, id, name }: TrustedIssuer,
    { failure, actor = { type: 'system', id: 'sign-in', name: 'Sign-in' }, origin }: Failed,
  ): Promise<void> {
    // Strangers cannot use up the share of users.
    const counted = `${organizationId} ${actor.type}`
    const count = (failures.get(counted) ?? 0) + 1
    failures.set(counted, count)
    if (count > maxFailures) return
    await record(
      db,
      { ...origin, actor },
      {
        organizationId,
        action: 'session.rejected',
        target: { type: 'trusted_issuer', id, name },
        changes: { before: {}, after: { reason: failure } },
      },
    )
  }

  return {
    /** The page of the provider to send the browser to, and the cookie to set. */
    async start({ issuer: id, organization, place }: Start): Promise<{ pending: Secret; location: string }> {
      const registration = await findConsoleIssuer(db, organization, id)
      if (!registration) throw new AppError('not_found', 'There is no such issuer to sign in with.')
      const client = await provider.clientOf(registration)
      const secret = generateSecret('cfo')
      const { state, nonce, verifier } = valuesOf(secret, id)
      const location = openid.buildAuthorizationUrl(client, {
        redirect_uri: redirectUriOf(publicUrl, id),
        scope: registration.scope,
        state,
        nonce,
        code_challenge: await openid.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      })
      return { pending: pendingWith(secret, place), location: location.href }
    },

    /** The user who came back from the issuer, in the browser that started the sign-in. The code is good once. */
    async finish({ issuer: id, pending, url }: Return, origin: Omit<Origin, 'actor'>): Promise<Finished> {
      const { secret, place } = partsOf(pending)
      // Without this, another site could make a browser sign in to an account of the attacker (RFC 9700 §4.7).
      if (!secret || url.searchParams.get('state') !== valuesOf(secret, id).state)
        throw new SignInError('expired', 'this browser did not start it, or took too long')
      const registration = await findIssuerById(db, id)
      if (!registration) throw new SignInError('expired', 'the issuer is no longer for sign-in')
      let actor: Actor | undefined
      try {
        const signedIn = await redeem(registration, secret, { url, now: origin.now })
        const { claims } = signedIn
        actor = { type: 'user', id: claims.sub ?? '', name: claims.sub ?? '', issuer: registration.issuer }
        return { ...signedIn, user: await userOf(db, registration, claims), place }
      } catch (error) {
        const failed = asFailure(error)
        await logFailure(registration, { failure: failed.failure, ...(actor && { actor }), origin })
        throw failed
      }
    },

    /** The page that signs out at the issuer too (OpenID Connect RP-Initiated Logout); null if it has none. */
    async endSessionUrl(session: Session, secret: Secret): Promise<string | null> {
      const registration = await findIssuerOfSession(db, session)
      if (!registration || session.idToken === null) return null
      const client = await provider.clientOf(registration)
      if (!client.serverMetadata().end_session_endpoint) return null
      const idToken = await openWith(secret, 'id_token', session.idToken)
      const location = openid.buildEndSessionUrl(client, {
        post_logout_redirect_uri: `${publicUrl}/console/`,
        ...(idToken.length <= longestHint && { id_token_hint: idToken }),
      })
      return location.href
    },
  }
}

type Failed = { failure: Failure; actor?: Actor; origin: Omit<Origin, 'actor'> }

/**
 * The values of one sign-in at one issuer, derived from the secret in the cookie of the browser. The database does not
 * have them, and any instance can finish a sign-in that another one started.
 */
function valuesOf(secret: Secret, issuerId: string) {
  const derive = (use: string) => derived(secret, `${use} ${issuerId}`).toString('base64url')
  return { state: derive('state'), nonce: derive('nonce'), verifier: derive('code_verifier') }
}

/** A sign-in in progress, as a cookie. */
function pendingWith(secret: Secret, place: string): Secret {
  return new Secret(`${secret.reveal()}.${Buffer.from(place).toString('base64url')}`)
}

function partsOf(pending: Secret | undefined): { secret: Secret | undefined; place: string } {
  const [secret, place = ''] = pending?.reveal().split('.') ?? []
  return {
    secret: secret ? new Secret(secret) : undefined,
    place: Buffer.from(place, 'base64url').toString(),
  }
}

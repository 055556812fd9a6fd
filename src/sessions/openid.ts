import type { JWTVerifyGetKey } from 'jose'
import { LRUCache } from 'lru-cache'
import * as openid from 'openid-client'
import type { Actor, Origin, User } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { Session, TrustedIssuer } from '../db/tables.ts'
import { clientSecretOf } from '../issuers/client.ts'
import { type ConsoleIssuer, findConsoleIssuer, findIssuerOfSignIn } from '../issuers/console.ts'
import { createMetadata, type Metadata } from '../issuers/metadata.ts'
import { redirectUriOf } from '../issuers/registration.ts'
import { userOf } from '../issuers/sign-in.ts'
import { keptClaims } from '../issuers/user.ts'
import { verifySignIn } from '../issuers/verify.ts'
import type { Signing } from '../keys/signing.ts'
import { OutboundError } from '../outbound/error.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { createShares } from '../outbound/shares.ts'
import { AppError } from '../shared/errors.ts'
import { generateSecret, Secret } from '../shared/secret.ts'
import { derived, openIdToken } from './id-token.ts'
import type { SignedInUser } from './sessions.ts'
import * as store from './store.ts'

/** How long a user may take at the issuer. */
export const signInMs = 10 * 60_000

/** How many sign-ins may wait for the issuers of one organization, and for all. */
const most = { ofOne: 5, ofAll: 25 }

/** How many failed sign-ins of an organization the change log has an hour from each instance: anyone can cause them. */
const maxFailures = 20

/** A server may reject longer URLs. */
const longestHint = 4_000

/** Why a sign-in failed, as the page says it; the message is for the log of the service. */
export type Failure = 'denied' | 'expired' | 'rejected' | 'unavailable' | 'failed'

export class SignInError extends Error {
  readonly failure: Failure

  constructor(failure: Failure, message: string) {
    super(message)
    this.failure = failure
  }
}

export type OpenidDeps = {
  db: Db
  outbound: Outbound
  signing: Signing
  keysOf: (issuer: TrustedIssuer) => JWTVerifyGetKey
  /** PUBLIC_URL. */
  issuer: string
}

type Start = { issuer: string; organization: string | undefined; returnTo: string }
type Return = { issuer: string; secret: Secret | undefined; url: URL }
export type Finished = SignedInUser & { user: User; returnTo: string }

/** Sign-in to the console by OpenID Connect: authorization code flow with PKCE, and RP-initiated logout. */
export function createOpenid({ db, outbound, signing, keysOf, issuer: publicUrl }: OpenidDeps) {
  const metadataOf = createMetadata(outbound)
  const enter = createShares(most)
  const failures = new LRUCache<string, number>({ max: 1000, ttl: 60 * 60_000, noUpdateTTL: true })

  async function clientOf(registration: ConsoleIssuer): Promise<openid.Configuration> {
    const { organizationId, clientId } = registration
    const metadata = await usableMetadata(registration)
    const secret = await clientSecretOf(registration, signing.masterKeys)
    const client = new openid.Configuration(metadata, clientId, undefined, authenticationBy(secret, metadata))
    // What may be called is decided by our own guard, for each call.
    openid.allowInsecureRequests(client)
    client[openid.customFetch] = (url, request) => outbound.fetch(url, organizationId, request)
    return client
  }

  /** The browser goes to some of the endpoints, so they have to be web pages, and not `javascript:` for example. */
  async function usableMetadata({ issuer, organizationId }: ConsoleIssuer): Promise<Metadata> {
    try {
      const metadata = await metadataOf(issuer, organizationId)
      const {
        authorization_endpoint = '',
        token_endpoint = '',
        userinfo_endpoint,
        end_session_endpoint,
      } = metadata
      for (const url of [authorization_endpoint, token_endpoint, userinfo_endpoint, end_session_endpoint]) {
        const flaw = url === undefined ? undefined : outbound.flawOf(url)
        if (flaw) throw new OutboundError(`has an endpoint that ${flaw}`)
      }
      return metadata
    } catch (error) {
      if (!(error instanceof OutboundError)) throw error
      const detail = 'The identity provider cannot be reached, or cannot be used; try again later.'
      throw new AppError('unavailable', detail, { cause: error })
    }
  }

  async function claimsOf(
    registration: ConsoleIssuer,
    secret: Secret,
    { url, now }: { url: URL; now: Date },
  ) {
    const leave = enter(registration.organizationId)
    if (!leave) throw new SignInError('unavailable', 'too many sign-ins wait for the issuer')
    try {
      const client = await clientOf(registration)
      const { state, nonce, verifier } = valuesOf(secret)
      const tokens = await openid.authorizationCodeGrant(client, url, {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: verifier,
        idTokenExpected: true,
      })
      const idToken = tokens.id_token ?? ''
      const audience = registration.clientId
      const keys = keysOf(registration)
      const claims = await verifySignIn(new Secret(idToken), { ...registration, audience }, keys, now)
      // Many issuers have e-mail addresses and groups only there.
      const info = client.serverMetadata().userinfo_endpoint
        ? await openid.fetchUserInfo(client, tokens.access_token, claims.sub ?? '')
        : {}
      return { idToken, claims: keptClaims({ ...info, ...claims }, registration) }
    } finally {
      leave()
    }
  }

  /** The actor is the user as far as the issuer has vouched for one. */
  async function logFailure(
    { organizationId, id, name }: TrustedIssuer,
    { failure, actor = { type: 'system', id: 'sign-in', name: 'Sign-in' }, origin }: Failed,
  ): Promise<void> {
    // Strangers cannot use up what is left for users.
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
    /** Where the browser has to go, and the secret for its cookie. */
    async start({ issuer: id, organization, returnTo }: Start, now: Date) {
      const registration = await findConsoleIssuer(db, organization, id)
      if (!registration) throw new AppError('not_found', 'There is no such issuer to sign in with.')
      const { organizationId, scope } = registration
      const client = await clientOf(registration)
      const secret = generateSecret('cfo')
      const { state, nonce, verifier } = valuesOf(secret)
      const location = openid.buildAuthorizationUrl(client, {
        redirect_uri: redirectUriOf(publicUrl, id),
        scope,
        state,
        nonce,
        code_challenge: await openid.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      })
      const expiresAt = new Date(now.getTime() + signInMs)
      await store.insertSignIn(db, { hash: secret.hash(), organizationId, issuerId: id, returnTo, expiresAt })
      return { secret, location: location.href }
    },

    /** The user who came back from the issuer. Works once for each start, and only in the browser that started it. */
    async finish({ issuer: id, secret, url }: Return, origin: Omit<Origin, 'actor'>): Promise<Finished> {
      // Without this, another site could make a browser sign in to an account of the attacker (RFC 9700 §4.7).
      if (!secret || url.searchParams.get('state') !== valuesOf(secret).state)
        throw new SignInError('expired', 'this browser did not start it')
      const started = await store.takeSignIn(db, secret.hash())
      const registration = started && (await findIssuerOfSignIn(db, started))
      if (!registration || registration.id !== id || started.expiresAt <= origin.now)
        throw new SignInError('expired', 'it was used, or has expired')
      let actor: Actor | undefined
      try {
        const { claims, idToken } = await claimsOf(registration, secret, { url, now: origin.now })
        actor = { type: 'user', id: claims.sub ?? '', name: claims.sub ?? '', issuer: registration.issuer }
        const user = await userOf(db, registration, claims)
        return { user, claims, idToken, returnTo: started.returnTo }
      } catch (error) {
        const failed = asFailure(error)
        await logFailure(registration, { failure: failed.failure, ...(actor && { actor }), origin })
        throw failed
      }
    },

    /** Where to sign out at the issuer too (OpenID Connect RP-Initiated Logout); null if the issuer has no such page. */
    async endSessionUrl(session: Session, secret: Secret): Promise<string | null> {
      const registration = await findIssuerOfSignIn(db, session)
      if (!registration || session.idToken === null) return null
      const client = await clientOf(registration)
      if (!client.serverMetadata().end_session_endpoint) return null
      const idToken = await openIdToken(session.idToken, secret)
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
 * What belongs to one sign-in, derived from the secret in the cookie of the browser: nothing of it is in the database,
 * and any instance can finish what another one started.
 */
function valuesOf(secret: Secret) {
  const derive = (use: string) => derived(secret, use).toString('base64url')
  return { state: derive('state'), nonce: derive('nonce'), verifier: derive('code_verifier') }
}

/** In the body where the issuer takes it there, since not every issuer decodes it in the header as RFC 6749 says. */
function authenticationBy(secret: string | undefined, metadata: Metadata): openid.ClientAuth {
  if (secret === undefined) return openid.None()
  return metadata.token_endpoint_auth_methods_supported?.includes('client_secret_post')
    ? openid.ClientSecretPost(secret)
    : openid.ClientSecretBasic(secret)
}

/** Messages and causes of openid-client may contain tokens, so only codes go on to the log. */
function asFailure(error: unknown): SignInError {
  if (error instanceof SignInError) return error
  const { cause } = error as Error
  // openid-client wraps what our `fetch` throws.
  if (cause instanceof OutboundError) return new SignInError('unavailable', `the issuer ${cause.message}`)
  if (error instanceof AppError) {
    const reason = cause instanceof Error ? cause.message : error.message
    return new SignInError(error.code === 'invalid_token' ? 'rejected' : 'unavailable', reason)
  }
  if (error instanceof openid.AuthorizationResponseError)
    return new SignInError(failureOf(error.error), `the issuer responds with ${codeIn(error.error)}`)
  if (error instanceof openid.ResponseBodyError)
    return new SignInError('failed', `the token endpoint responds with ${codeIn(error.error)}`)
  if (error instanceof openid.WWWAuthenticateChallengeError)
    return new SignInError('failed', 'the userinfo endpoint rejects the access token')
  if (error instanceof openid.ClientError || error instanceof TypeError)
    return new SignInError('failed', `the response of the issuer is rejected (${codeOf(error)})`)
  throw error
}

function failureOf(error: string): Failure {
  if (error === 'access_denied') return 'denied'
  return ['server_error', 'temporarily_unavailable'].includes(error) ? 'unavailable' : 'failed'
}

function codeOf(error: Error & { code?: unknown }): string {
  return typeof error.code === 'string' ? error.code : error.name
}

/** The URL can contain anything. */
function codeIn(error: string): string {
  return /^\w{1,50}$/.test(error) ? error : 'another error'
}

import type { JWTPayload, JWTVerifyGetKey } from 'jose'
import * as openid from 'openid-client'
import type { TrustedIssuer } from '../db/tables.ts'
import { clientSecretOf } from '../issuers/client.ts'
import type { ConsoleIssuer } from '../issuers/console.ts'
import { createMetadata, type Metadata } from '../issuers/metadata.ts'
import { keptClaims } from '../issuers/user.ts'
import { verifySignIn } from '../issuers/verify.ts'
import type { Signing } from '../keys/signing.ts'
import { OutboundError } from '../outbound/error.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { AppError, badCredential } from '../shared/errors.ts'
import { Secret } from '../shared/secret.ts'

/** Why a sign-in failed, as the sign-in screen explains it. The message is for the log of the service. */
export type Failure = 'denied' | 'expired' | 'rejected' | 'unavailable' | 'failed'

export class SignInError extends Error {
  readonly failure: Failure

  constructor(failure: Failure, message: string) {
    super(message)
    this.failure = failure
  }
}

/** What later checks of the user use. */
export type ProviderTokens = {
  refreshToken?: string
  accessToken?: string
  /** Whether the userinfo endpoint has all claims that the mapping reads, so that no ID token is needed. */
  userinfoSuffices: boolean
}

/** The claims of a user that the provider has confirmed. Without tokens, the user cannot be checked again. */
export type Confirmed = { claims: JWTPayload; tokens: ProviderTokens | undefined }

type Confirmation = {
  /** Those of the last check. */
  claims: JWTPayload
  tokens: ProviderTokens
  /** Stores a new refresh token at once: the previous one is used up, even if the rest of the check fails. */
  keep: (tokens: ProviderTokens) => Promise<unknown>
  now: Date
}

type Deps = {
  outbound: Outbound
  signing: Signing
  keysOf: (issuer: TrustedIssuer) => JWTVerifyGetKey
}

export type Provider = ReturnType<typeof createProvider>

/** Counterfoil as a client of OpenID providers. */
export function createProvider({ outbound, signing, keysOf }: Deps) {
  const metadataOf = createMetadata(outbound)

  async function clientOf(registration: ConsoleIssuer): Promise<openid.Configuration> {
    const { organizationId, clientId } = registration
    const metadata = await usableMetadata(registration)
    const secret = await clientSecretOf(registration, signing.masterKeys)
    const client = new openid.Configuration(metadata, clientId, undefined, authenticationBy(secret, metadata))
    // Our own guard decides for each call whether it is allowed.
    openid.allowInsecureRequests(client)
    client[openid.customFetch] = (url, request) => outbound.fetch(url, organizationId, request)
    return client
  }

  /** Browsers are sent to some of the endpoints, so they must be web pages, and not `javascript:` for example. */
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

  async function verified(idToken: string, registration: ConsoleIssuer, now: Date): Promise<JWTPayload> {
    const audience = registration.clientId
    return verifySignIn(new Secret(idToken), { ...registration, audience }, keysOf(registration), now)
  }

  /** Many providers send e-mail addresses and groups only from there. */
  async function userinfo(client: openid.Configuration, accessToken: string, subject: string) {
    if (!client.serverMetadata().userinfo_endpoint) return {}
    return openid.fetchUserInfo(client, accessToken, subject)
  }

  return {
    clientOf,

    /** Exchanges the code that a browser brought back. */
    async redeem(
      registration: ConsoleIssuer,
      url: URL,
      { checks, now }: { checks: openid.AuthorizationCodeGrantChecks; now: Date },
    ): Promise<Confirmed & { idToken: string }> {
      const client = await clientOf(registration)
      const response = await openid.authorizationCodeGrant(client, url, { ...checks, idTokenExpected: true })
      const { id_token: idToken = '', access_token: accessToken, refresh_token: refreshToken } = response
      const inIdToken = await verified(idToken, registration, now)
      const info = await userinfo(client, accessToken, inIdToken.sub ?? '')
      const claims = keptClaims({ ...info, ...inIdToken }, registration)
      const { iss, aud, ...read } = claims
      const userinfoSuffices = Object.keys(read).every((name) => name in info)
      const tokens = refreshToken ? { refreshToken } : userinfoSuffices ? { accessToken } : undefined
      return { idToken, claims, tokens: tokens && { ...tokens, userinfoSuffices } }
    },

    /** Checks a user who has signed in, and returns their current claims. */
    async confirm(
      registration: ConsoleIssuer,
      { claims: before, tokens: given, keep, now }: Confirmation,
    ): Promise<Confirmed> {
      const client = await clientOf(registration)
      const { iss, aud, sub = '' } = before
      const refreshed = given.refreshToken && (await openid.refreshTokenGrant(client, given.refreshToken))
      const { id_token: idToken, refresh_token: refreshToken } = refreshed || {}
      const accessToken = refreshed ? refreshed.access_token : (given.accessToken ?? '')
      const tokens = { ...given, ...(refreshToken && { refreshToken }) }
      if (tokens.refreshToken !== given.refreshToken) await keep(tokens)
      const inIdToken = idToken === undefined ? { iss, aud } : await verified(idToken, registration, now)
      const info = await userinfo(client, accessToken, sub)
      const claims = keptClaims({ ...info, ...inIdToken } as JWTPayload, registration)
      if (idToken === undefined && !tokens.userinfoSuffices) return { claims: before, tokens: undefined }
      if (claims.sub !== sub) throw badCredential('the provider confirms another user')
      return { claims, tokens }
    },
  }
}

/** In the body if the issuer supports that, since not every issuer decodes it in the header as RFC 6749 says. */
function authenticationBy(secret: string | undefined, metadata: Metadata): openid.ClientAuth {
  if (secret === undefined) return openid.None()
  return metadata.token_endpoint_auth_methods_supported?.includes('client_secret_post')
    ? openid.ClientSecretPost(secret)
    : openid.ClientSecretBasic(secret)
}

/** Messages and causes of openid-client may contain tokens, so only codes are logged. */
export function asFailure(error: unknown): SignInError {
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
    return new SignInError(failureOf(error.error), `the token endpoint responds with ${codeIn(error.error)}`)
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

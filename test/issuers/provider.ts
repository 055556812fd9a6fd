import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import type { RequestListener } from 'node:http'
import { CompactSign } from 'jose'
import Provider, { type SavedToken } from 'oidc-provider'
import * as openid from 'openid-client'
import type { Test } from 'tap'
import { serve } from '../outbound/server.ts'
import { recordSecret } from '../support/records.ts'
import { browse } from './browser.ts'

/** The provider's claims about a user, besides the subject. */
export type Account = { email?: string; email_verified?: boolean; groups?: string[]; tenant?: string }

export type OpenidProvider = {
  issuer: string
  /** The audience of ID tokens. */
  clientId: string
  /** The requested paths. */
  calls: string[]
  /** What the provider says of a user from now on. */
  account(subject: string, account: Account): void
  /** From now on it does not know the user. */
  forget(subject: string): void
  /** Revokes the access and refresh tokens of a user. */
  revoke(subject: string): Promise<void>
  /** The tokens that a user gets by signing in: the access token is for Counterfoil. */
  signIn(subject: string, account?: Account): Promise<{ accessToken: string; idToken: string }>
  /** Registers another client, which may redirect to these URIs; it has no secret if none is given. */
  register(client: { redirectUri: string; signedOutUri?: string; secret?: string }): string
  /** The access token that a program gets. */
  clientCredentials(): Promise<string>
  /** A token with the provider's own signature that it would never issue; a text is signed as it is. */
  sign(claims: object | string, header?: Record<string, unknown>): Promise<string>
  publicKey: KeyObject
  /** From now on it signs with another key, and no longer publishes the previous one. */
  rotate(): void
  /** Responds instead of the provider from now on, by default at all paths; undefined: the provider again. */
  replace(listener?: RequestListener, path?: string): void
}

/** The audience of access tokens: Counterfoil's resource indicator (RFC 8707). */
export const audience = 'https://counterfoil.test/v1'

const redirectUri = 'http://127.0.0.1:1/signed-in'

/** A real OpenID provider on loopback. `configured` takes the place of its configuration here. */
export async function startProvider(t: Test, configured: object = {}): Promise<OpenidProvider> {
  let answer: RequestListener = () => {}
  let replacement: RequestListener | undefined
  let replaced = '/'
  const { url: issuer, calls } = await serve(t, (request, response) =>
    (request.url?.startsWith(replaced) ? (replacement ?? answer) : answer)(request, response),
  )
  const accounts = new Map<string, Account | null>()
  const saved: SavedToken[] = []
  const others: object[] = []
  const clientId = 'console'
  const clientSecret = randomUUID()
  let key = newKey()
  const start = () => {
    const jwks = { keys: [{ ...key.privateKey.export({ format: 'jwk' }), kid: key.kid, use: 'sig' }] }
    const provider = new Provider(issuer, {
      ...configuration({ accounts, clientId, clientSecret, others }),
      ...configured,
      jwks,
    })
    for (const kind of ['access_token', 'refresh_token'] as const)
      provider.on(`${kind}.saved`, (token) => {
        recordSecret(token.jti)
        saved.push(token)
      })
    answer = provider.callback()
  }
  start()

  const client = async () =>
    openid.discovery(new URL(issuer), clientId, clientSecret, undefined, {
      execute: [openid.allowInsecureRequests],
    })

  return {
    issuer,
    clientId,
    calls,
    register({ redirectUri, signedOutUri, secret }) {
      const id = randomUUID()
      others.push({
        client_id: id,
        ...(secret ? { client_secret: secret } : {}),
        grant_types: ['authorization_code', 'refresh_token'],
        token_endpoint_auth_method: secret ? 'client_secret_post' : 'none',
        redirect_uris: [redirectUri],
        ...(signedOutUri && { post_logout_redirect_uris: [signedOutUri] }),
      })
      start()
      return id
    },
    account(subject, account) {
      accounts.set(subject, account)
    },
    forget(subject) {
      accounts.set(subject, null)
    },
    async revoke(subject) {
      for (const token of saved) if (token.accountId === subject) await token.destroy()
    },
    async signIn(subject, account = {}) {
      accounts.set(subject, account)
      const config = await client()
      const verifier = openid.randomPKCECodeVerifier()
      const start = openid.buildAuthorizationUrl(config, {
        redirect_uri: redirectUri,
        scope: 'openid email groups manage',
        resource: audience,
        code_challenge: await openid.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
      })
      const end = await browse(start, subject, redirectUri)
      const tokens = await openid.authorizationCodeGrant(config, end, { pkceCodeVerifier: verifier })
      return { accessToken: recorded(tokens.access_token), idToken: recorded(tokens.id_token) }
    },
    async clientCredentials() {
      const parameters = { scope: 'manage', resource: audience }
      return recorded((await openid.clientCredentialsGrant(await client(), parameters)).access_token)
    },
    async sign(claims, header = {}) {
      const payload = typeof claims === 'string' ? claims : JSON.stringify(claims)
      // Undefined members are left out.
      const text = JSON.stringify({ alg: 'RS256', kid: key.kid, ...header })
      return new CompactSign(Buffer.from(payload)).setProtectedHeader(JSON.parse(text)).sign(key.privateKey)
    },
    get publicKey() {
      return key.publicKey
    },
    rotate() {
      key = newKey()
      start()
    },
    replace(listener, path = '/') {
      replacement = listener
      replaced = path
    },
  }
}

function newKey() {
  return { kid: randomUUID(), ...generateKeyPairSync('rsa', { modulusLength: 2048 }) }
}

/** Counterfoil must not store or log these. */
function recorded(token: string | undefined): string {
  if (!token) throw new Error('the provider gave no token')
  recordSecret(token)
  return token
}

type Known = {
  accounts: Map<string, Account | null>
  clientId: string
  clientSecret: string
  others: object[]
}

function configuration({ accounts, clientId, clientSecret, others }: Known): object {
  return {
    clients: [
      {
        client_id: clientId,
        client_secret: clientSecret,
        grant_types: ['authorization_code', 'client_credentials'],
        redirect_uris: [redirectUri],
        application_type: 'native',
      },
      ...others,
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups', 'tenant'] },
    conformIdTokenClaims: false,
    findAccount: async (_context: unknown, subject: string) =>
      accounts.get(subject) === null
        ? undefined
        : { accountId: subject, claims: async () => ({ sub: subject, ...accounts.get(subject) }) },
    extraTokenClaims: async (_context: unknown, { accountId }: { accountId?: string }) =>
      accounts.get(accountId ?? ''),
    cookies: { keys: [randomUUID()] },
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: async () => true,
        getResourceServerInfo: async () => ({
          scope: 'manage',
          audience,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  }
}

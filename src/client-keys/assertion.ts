import { hash } from 'node:crypto'
import { createLocalJWKSet, decodeJwt, errors, type JWTVerifyResult, jwtVerify } from 'jose'
import { validate as isUuid } from 'uuid'
import type { Credential } from '../access/credential.ts'
import type { CredentialVerifier } from '../credentials/credential-verifier.ts'
import { batchSize, inBatches } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import { OutboundError } from '../outbound/error.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { fitPublicKey } from '../outbound/public-key.ts'
import { AppError } from '../shared/errors.ts'
import { assertionAlgs } from './public-keys.ts'
import * as store from './store.ts'

/** The parameters of RFC 7521 §4.2. */
export type Assertion = {
  type: string | undefined
  assertion: string | undefined
  clientId: string | undefined
}

export type ClientDeps = { db: Db; credentials: CredentialVerifier; outbound: Outbound; issuer: string }

const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

/** In seconds: how far in the future `exp` may be, and how far the client's clock may differ from ours. */
const longestLife = 300
const tolerance = 30
/** How many seconds longer an assertion is remembered, for instances whose clock is behind. */
const memory = 600

/**
 * The management token that signed an assertion with one of its client keys (RFC 7523 §3), if the token is good now and
 * the assertion has never been used before on any instance. `endpoint` is the URL that is being called.
 */
export async function authenticateClient(
  { db, credentials, outbound, issuer }: ClientDeps,
  { type, assertion, clientId }: Assertion,
  endpoint: string,
  now: Date,
): Promise<Credential> {
  if (type === undefined) throw missing('client_assertion_type')
  if (assertion === undefined) throw missing('client_assertion')
  if (type !== jwtBearer) throw refusal('its client_assertion_type is not supported')
  const client = await findClient(db, assertion)
  const keys = client?.jwks
    ? createLocalJWKSet({ keys: client.jwks.keys.filter(fitPublicKey) })
    : client?.jwksUri && outbound.jwks(client.jwksUri, client.organizationId)
  if (!client || !keys) throw refusal()
  const { tokenId } = client
  const verified = await jwtVerify(assertion, keys, {
    algorithms: assertionAlgs,
    issuer: tokenId,
    subject: tokenId,
    audience: [issuer, endpoint],
    requiredClaims: ['exp', 'jti'],
    clockTolerance: tolerance,
    currentDate: now,
  }).catch((error) => {
    throw refusalFor(error, tokenId)
  })
  const { exp, jti } = strict(verified, now)
  if (clientId !== undefined && clientId !== tokenId) throw refusal('client_id differs from its iss')
  // Verified again, so that a token revoked in the meantime is rejected, as it would be with a secret.
  const principal = await credentials.verifyFresh(client.hash, now)
  if (!principal) throw refusal()
  await store.deleteExpiredAssertions(db, now, 10)
  const expiresAt = new Date((exp + tolerance + memory) * 1000)
  if (!(await store.insertAssertion(db, { tokenId, jtiHash: hash('sha256', jti, 'buffer'), expiresAt })))
    throw refusal('it was used before')
  return principal
}

/** Deletes expired assertions in batches. */
export async function deleteExpiredAssertions(db: Db, now: Date): Promise<void> {
  await inBatches(() => store.deleteExpiredAssertions(db, now, batchSize))
}

/** Finds the client that the assertion claims to be from; the signature has yet to prove it. */
async function findClient(db: Db, assertion: string): Promise<store.Client | undefined> {
  try {
    const { iss = '' } = decodeJwt(assertion)
    return isUuid(iss) ? await store.findClient(db, iss) : undefined
  } catch (error) {
    if (error instanceof errors.JOSEError) return undefined
    throw error
  }
}

/** Checks what RFC 7523 §3 requires beyond what jose checks, and that the assertion is short-lived. */
function strict({ payload, protectedHeader }: JWTVerifyResult, now: Date): { exp: number; jti: string } {
  const { aud, exp = 0, iat = 0, jti } = payload
  const seconds = now.getTime() / 1000
  // RFC 8725 §3.11: a JWT that was made for another purpose must not authenticate a client.
  const given: unknown = protectedHeader.typ ?? 'JWT'
  const typ = (typeof given === 'string' ? given : '').toLowerCase().replace(/^application\//, '')
  if (typ !== 'jwt' && typ !== 'client-authentication+jwt')
    throw refusal('its typ is not one of the accepted ones')
  // With further audiences, those services could replay the assertion here.
  if (Array.isArray(aud) && aud.length > 1) throw refusal(unfit('aud'))
  if (exp > seconds + longestLife + tolerance) throw refusal(unfit('exp'))
  if (iat > seconds + tolerance) throw refusal(unfit('iat'))
  if (typeof jti !== 'string' || jti === '' || jti.length > 255) throw refusal(unfit('jti'))
  return { exp, jti }
}

function refusalFor(error: unknown, tokenId: string): AppError {
  // The cause goes only to the log: a client that registers addresses could otherwise use it to probe our network.
  if (error instanceof OutboundError) {
    const cause = new Error(`The jwks_uri of ${tokenId} ${error.message}`, { cause: error })
    return new AppError('unavailable', 'The keys of the client could not be fetched; try again shortly.', {
      cause,
    })
  }
  if (error instanceof errors.JWTExpired) return refusal('it has expired')
  if (error instanceof errors.JWTClaimValidationFailed) return refusal(unfit(error.claim))
  if (error instanceof errors.JOSEAlgNotAllowed) return refusal(`its alg is not one of ${assertionAlgs}`)
  // Also catches errors that jose does not classify, such as an invalid key at the jwks_uri.
  return refusal()
}

function unfit(claim: string): string {
  return `its claim ${claim} is missing or invalid`
}

/** RFC 6749 §5.2. */
function refusal(why = 'it is not from a known client with a good token'): AppError {
  return new AppError('invalid_client', `The client assertion is not valid: ${why}.`)
}

function missing(field: string): AppError {
  const detail = 'is missing'
  return new AppError('invalid_request', `${field} ${detail}`, { fields: [{ in: 'body', field, detail }] })
}

import {
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose'
import type { TrustedIssuer } from '../db/tables.ts'
import { OutboundError } from '../outbound/error.ts'
import { AppError, type SetError } from '../shared/errors.ts'

/** How far the transmitter's clock may be ahead, in seconds. */
const clockTolerance = 300
/** For how long events are accepted, and their ids remembered: an older one could be a repetition. */
export const keptDays = 90

const longest = 32 * 1024

/** A verified security event token (RFC 8417). */
export type SecurityEvent = {
  jti: string
  issuedAt: Date
  /** By type. */
  events: [type: string, payload: Record<string, unknown>][]
  /** Of all events, unless an event has its own (SSF §3.1). */
  subject: unknown
}

/** The unverified claims of a token; throws `invalid_request` if it is not a security event token. */
export function claimed(token: string): JWTPayload & { jti: string; iat: number; events: object } {
  const { header, claims } = decoded(token)
  const typ = typeof header.typ === 'string' ? header.typ.toLowerCase().replace(/^application\//, '') : ''
  if (typ !== 'secevent+jwt') throw setError('invalid_request', 'The header has no typ of secevent+jwt.')
  const { jti, iat, events } = claims
  if (typeof claims.iss !== 'string') throw setError('invalid_request', 'iss is missing.')
  if (typeof jti !== 'string' || jti === '' || jti.length > 1000 || jti.includes('\0') || !jti.isWellFormed())
    throw setError('invalid_request', 'jti is missing, too long or malformed.')
  if (typeof iat !== 'number' || !Number.isFinite(iat)) throw setError('invalid_request', 'iat is missing.')
  if (!isObject(events) || Object.keys(events).length === 0 || Object.keys(events).length > 20)
    throw setError('invalid_request', 'events is missing, empty or too long.')
  return { ...claims, jti, iat, events }
}

function decoded(token: string): { header: { typ?: unknown }; claims: JWTPayload } {
  if (token.length <= longest)
    try {
      return { header: decodeProtectedHeader(token), claims: decodeJwt(token) }
    } catch {}
  throw setError('invalid_request', 'The body is not a security event token.')
}

/** Checks the token by the registration of its issuer (RFC 8417 §4, RFC 8725). */
export async function verifyEvent(
  token: string,
  { issuer, algorithms }: Pick<TrustedIssuer, 'issuer' | 'algorithms'>,
  audience: string,
  { keys, now }: { keys: JWTVerifyGetKey; now: Date },
): Promise<SecurityEvent> {
  const { iss, aud, jti, iat, events, sub_id: subject } = claimed(token)
  if (iss !== issuer) throw setError('invalid_issuer', 'iss is not the issuer of this stream.')
  if (![aud ?? []].flat().includes(audience))
    throw setError('invalid_audience', 'aud does not contain the audience of this stream.')
  const options = { issuer, audience, algorithms, clockTolerance, currentDate: now }
  await jwtVerify(token, keys, options).catch(reject)
  const issuedAt = new Date(iat * 1000)
  const age = (now.getTime() - issuedAt.getTime()) / 1000
  if (!(age >= -clockTolerance && age <= keptDays * 24 * 60 * 60))
    throw setError('invalid_request', `iat is in the future, or more than ${keptDays} days ago.`)
  return {
    jti,
    issuedAt,
    events: Object.entries(events).map(([type, payload]) => [type, isObject(payload) ? payload : {}]),
    subject,
  }
}

function reject(error: unknown): never {
  if (error instanceof AppError) throw error
  if (error instanceof OutboundError)
    throw new AppError('unavailable', 'The keys of the issuer could not be fetched; try again later.', {
      cause: error,
    })
  if (error instanceof errors.JWSSignatureVerificationFailed)
    throw forged('authentication_failed', 'The signature is not valid.')
  if (error instanceof errors.JOSEAlgNotAllowed || error instanceof errors.JWKSNoMatchingKey)
    throw forged('invalid_key', 'The issuer has no such key, or may not sign with this algorithm.')
  if (error instanceof errors.JOSEError) throw forged('invalid_request', 'The token is not valid.')
  throw error
}

/** Counts as a failed authentication of the address. */
function forged(kind: SetError, detail: string): AppError {
  return new AppError('invalid_token', detail, { setError: kind })
}

export function setError(kind: SetError, detail: string): AppError {
  return new AppError('invalid_request', detail, { setError: kind })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

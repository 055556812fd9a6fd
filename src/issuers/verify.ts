import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import type { TrustedIssuer } from '../db/tables.ts'
import { AppError, badCredential } from '../shared/errors.ts'
import type { Secret } from '../shared/secret.ts'

/** Identity providers with many groups issue long tokens; anything longer does not fit into a request header. */
const longest = 12 * 1024

/** How far an issuer's clock may differ from ours, in seconds. */
const clockTolerance = 30

/** The JWT types that may be presented: access tokens (RFC 9068) and ID tokens. */
const types = ['jwt', 'at+jwt']

/** The issuer and audience that a token claims, unverified. */
export type Address = { issuer: string; audience: string[] }

/** Undefined if it is not a JWT that could be a sign-in. */
export function addressOf(secret: Secret): Address | undefined {
  const claims = secret.isJws() ? decoded(secret.reveal()) : undefined
  if (!claims || typeof claims.iss !== 'string' || !/^https?:\/\/[\x21-\x7E]{1,500}$/.test(claims.iss))
    return undefined
  return { issuer: claims.iss, audience: [claims.aud ?? []].flat() }
}

function decoded(token: string): JWTPayload | undefined {
  if (token.length > longest) return undefined
  try {
    return decodeJwt(token)
  } catch {
    return undefined
  }
}

/** The claims of a token that is valid by its registration and these keys only (RFC 8725 §3.8). */
export async function verifySignIn(
  secret: Secret,
  { issuer, audience, algorithms }: TrustedIssuer,
  keys: JWTVerifyGetKey,
  now: Date,
): Promise<JWTPayload> {
  const options = { issuer, audience, algorithms, clockTolerance, currentDate: now, requiredClaims: ['exp'] }
  const { payload, protectedHeader } = await jwtVerify(secret.reveal(), keys, options).catch((error) =>
    reject(error, issuer),
  )
  rejectOtherKinds(payload, protectedHeader.typ)
  return payload
}

function reject(error: unknown, issuer: string): never {
  if (error instanceof AppError) throw error
  if (error instanceof errors.JOSEError) throw badCredential(error.message)
  // All other errors are the issuer's: it is unreachable, or publishes invalid keys. The response does not say which,
  // so that registrations cannot be used to probe our network.
  const detail = 'The signing keys of the issuer could not be fetched; try again later.'
  throw new AppError('unavailable', detail, {
    cause: new Error(`${issuer} ${(error as Error).message}`, { cause: error }),
  })
}

/** RFC 8725 §3.11: JWTs for other uses must not pass for sign-ins, even if signed by the same keys. */
function rejectOtherKinds(payload: JWTPayload, typ: unknown): void {
  // At runtime, an issuer may put anything here, despite jose's types; printing nested values would take recursion.
  const kind = (typ === undefined || typ === null ? 'JWT' : typeof typ === 'string' ? typ : '')
    .toLowerCase()
    .replace(/^application\//, '')
  if (!types.includes(kind)) throw badCredential('its typ is not that of an access token or ID token')
  // A security event, such as a logout token (OpenID Connect Back-Channel Logout §2.4), which may have no typ.
  if (payload.events !== undefined) throw badCredential('it is a security event')
  // Bound to a key whose possession the presenter would have to prove (RFC 9449 §7.2, RFC 8705 §3): not a bearer token.
  if (payload.cnf !== undefined) throw badCredential('it is bound to a key, so it is not a bearer token')
}

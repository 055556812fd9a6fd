import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose'
import type { TrustedIssuer } from '../db/tables.ts'
import { AppError, badCredential } from '../errors.ts'
import type { Secret } from '../tokens/secret.ts'

/** An identity provider with many groups makes long ones; more does not fit into the header of a request. */
const longest = 12 * 1024

/** How far the clocks of an issuer may be from ours, in seconds. */
const clockTolerance = 30

/** What kinds of JWT say of themselves that may be presented here: access tokens (RFC 9068) and ID tokens. */
const types = ['jwt', 'at+jwt']

/** Who a token says that it is from and for. Nothing of it is proven. */
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

/** The claims of a token, if it is good by what was registered and by those keys and no others (RFC 8725 §3.8). */
export async function verifySignIn(
  secret: Secret,
  { issuer, audience, algorithms }: TrustedIssuer,
  keys: JWTVerifyGetKey,
  now: Date,
): Promise<JWTPayload> {
  const options = { issuer, audience, algorithms, clockTolerance, currentDate: now, requiredClaims: ['exp'] }
  const { payload, protectedHeader } = await jwtVerify(secret.reveal(), keys, options).catch((error) =>
    refuse(error, issuer),
  )
  refuseOtherKinds(payload, protectedHeader.typ)
  return payload
}

function refuse(error: unknown, issuer: string): never {
  if (error instanceof AppError) throw error
  if (error instanceof errors.JOSEError) throw badCredential(error.message)
  // Of the others all come from the issuer: it cannot be reached, or has keys that are none. Which one is not said,
  // since whoever registers addresses would learn by it what is behind them.
  const detail = 'The signing keys of the issuer could not be fetched; try again later.'
  throw new AppError('unavailable', detail, {
    cause: new Error(`${issuer} ${(error as Error).message}`, { cause: error }),
  })
}

/** RFC 8725 §3.11: what was made for another use does not pass for a sign-in, be it signed by the same keys. */
function refuseOtherKinds(payload: JWTPayload, typ: unknown): void {
  // Nothing holds an issuer to what the types of jose promise, and to make a text of what is nested takes recursion.
  const kind = (typ === undefined || typ === null ? 'JWT' : typeof typ === 'string' ? typ : '')
    .toLowerCase()
    .replace(/^application\//, '')
  if (!types.includes(kind)) throw badCredential('its typ is not that of a sign-in')
  // A security event, such as a logout token (OpenID Connect Back-Channel Logout §2.4), which need not have a typ.
  if (payload.events !== undefined) throw badCredential('it is a security event')
  // Bound to a key that whoever presents it would have to prove (RFC 9449 §7.2, RFC 8705 §3): it is no bearer token.
  if (payload.cnf !== undefined) throw badCredential('it is bound to a key, and so is no bearer token')
}

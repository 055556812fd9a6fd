import { createPublicKey, type KeyObject, type webcrypto } from 'node:crypto'

/** The public key in a JWK, if its signatures are trustworthy; otherwise undefined. */
export function fitPublicKey(jwk: unknown): KeyObject | undefined {
  const key = importKey(jwk)
  return key && isFit(key) ? key : undefined
}

function importKey(jwk: unknown): KeyObject | undefined {
  try {
    return createPublicKey({ key: jwk as webcrypto.JsonWebKey, format: 'jwk' })
  } catch {
    return undefined
  }
}

/** Rejects keys whose signatures anyone can forge, and keys that are slow to verify with. */
function isFit(key: KeyObject): boolean {
  const { asymmetricKeyType, asymmetricKeyDetails = {} } = key
  if (asymmetricKeyType === 'rsa') return isFitRsa(asymmetricKeyDetails)
  // For the NIST curves, OpenSSL has checked that the point is on the curve; their order is prime.
  if (asymmetricKeyType === 'ec') return curves.includes(asymmetricKeyDetails.namedCurve ?? '')
  return (
    asymmetricKeyType === 'ed25519' &&
    isFitEd25519(Buffer.from(key.export({ format: 'jwk' }).x ?? '', 'base64url'))
  )
}

const curves = ['prime256v1', 'secp384r1', 'secp521r1']

/**
 * FIPS 186-5 §A.1.1: the exponent is odd and greater than 2^16. With 1 every message is its own signature, and with 3
 * some verifiers could be fooled (Bleichenbacher, 2006). OpenSSL rejects exponents above 64 bits with a large modulus.
 */
function isFitRsa({
  modulusLength = 0,
  publicExponent = 0n,
}: NonNullable<KeyObject['asymmetricKeyDetails']>): boolean {
  const isOdd = publicExponent % 2n === 1n
  // Verifying with larger keys would cost too much time.
  return (
    modulusLength >= 2048 &&
    modulusLength <= 8192 &&
    isOdd &&
    publicExponent > 2n ** 16n &&
    publicExponent < 2n ** 64n
  )
}

const p = 2n ** 255n - 19n
const d = 37095705934669439343138083508754565189542113879843219016388785533085940283555n

// The y of the points whose order divides 8: (0, 1), (0, -1), (±√-1, 0), and the four of order 8.
const eighth = 2707385501144840649318225287225658788936804267575313519463743609750303402022n
const smallOrder = [0n, 1n, p - 1n, eighth, p - eighth]

/**
 * RFC 8032 §5.1.3: a point on the curve, in its canonical encoding. For a point of small order, anyone can find
 * signatures that are valid for many or all messages, and OpenSSL before 3.5 accepts such points.
 */
function isFitEd25519(encoded: Buffer): boolean {
  const sign = 1n << 255n
  const y = BigInt(`0x${Buffer.from(encoded).reverse().toString('hex')}`) & (sign - 1n)
  if (y >= p || smallOrder.includes(y)) return false
  // x² = (y² - 1) / (dy² + 1) has a root if the product of both has one (Euler's criterion).
  const square = (y * y) % p
  return power(((square - 1n) * (d * square + 1n)) % p, (p - 1n) / 2n) === 1n
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  let factor = ((base % p) + p) % p
  for (let bits = exponent; bits > 0n; bits >>= 1n) {
    if (bits & 1n) result = (result * factor) % p
    factor = (factor * factor) % p
  }
  return result
}

import { VerificationError } from './errors.ts'
import type { Introspection } from './introspection.ts'
import type { Demand, Verifier } from './verifier.ts'

/** The parts of a Node request that may contain a credential. */
export type BearerRequest = { rawHeaders: readonly string[]; url?: string | undefined }

/** The response to a rejected request (RFC 6750 §3). */
export type Refusal = {
  status: 400 | 401 | 403 | 503
  headers: Record<string, string>
  body: { error?: string; error_description: string }
}

/** The introspection of the request's token if it meets the conditions; otherwise the rejection. */
export async function admit(
  verifier: Verifier,
  request: BearerRequest,
  demand: Demand,
): Promise<{ token: Introspection } | { refusal: Refusal }> {
  const presented = bearerIn(request)
  if (typeof presented !== 'string') return { refusal: presented }
  try {
    return { token: await verifier.verify(presented, demand) }
  } catch (error) {
    if (error instanceof VerificationError) return { refusal: refusalOf(error, demand) }
    throw error
  }
}

const query = /[?&]access_token=/i
const bearer = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i

/** Reads the raw header fields: of duplicates a parser keeps only one, and a proxy may have checked the other. */
function bearerIn({ rawHeaders, url = '' }: BearerRequest): string | Refusal {
  const values = rawHeaders.filter(
    (_value, i) => rawHeaders[i - 1]?.toLowerCase() === 'authorization' && i % 2,
  )
  const [value, another] = values
  if (value === undefined) return refuse(401, undefined, 'Send a token in the Authorization header.')
  // RFC 6750 §2: "Clients MUST NOT use more than one method".
  if (another !== undefined || query.test(url))
    return refuse(400, 'invalid_request', 'The request has more than one credential.')
  return (
    bearer.exec(value.trim())?.[1] ??
    refuse(401, undefined, 'Send a token as Bearer in the Authorization header.')
  )
}

function refusalOf({ code, message }: VerificationError, { scope }: Demand): Refusal {
  if (code === 'invalid_token') return refuse(401, code, message)
  if (code === 'insufficient_scope') return refuse(403, code, message, scope)
  const body = {
    error: 'temporarily_unavailable',
    error_description: 'The token cannot be verified at the moment.',
  }
  return { status: 503, headers: { 'retry-after': '1' }, body }
}

function refuse(
  status: 400 | 401 | 403,
  error: string | undefined,
  description: string,
  scope?: Demand['scope'],
): Refusal {
  const members = {
    ...(error !== undefined && { error, error_description: description }),
    ...(scope !== undefined && { scope: [scope].flat().join(' ') }),
  }
  const parameters = Object.entries(members).map(([name, value]) => `${name}="${value}"`)
  return {
    status,
    headers: { 'www-authenticate': ['Bearer', parameters.join(', ')].filter(Boolean).join(' ') },
    body: { ...(error !== undefined && { error }), error_description: description },
  }
}

/** RFC 6749 §3.3: the syntax of scopes, which a challenge may contain. */
const scopeTokens = /^[\x21\x23-\x5B\x5D-\x7E]+( [\x21\x23-\x5B\x5D-\x7E]+)*$/

/** Call it when a route is defined, so that mistakes are found then. */
export function checkDemand(demand: Demand): void {
  const { scope } = demand
  if (scope !== undefined && !scopeTokens.test([scope].flat().join(' ')))
    throw new TypeError('A scope consists of visible characters without " and \\ (RFC 6749 §3.3).')
}

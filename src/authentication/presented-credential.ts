import { AppError } from '../shared/errors.ts'
import { Secret } from '../shared/secret.ts'

export type PresentedOptions = {
  /**
   * How HTTP Basic (RFC 7617) is interpreted: not at all; as the id and secret of an OAuth client (RFC 6749 §2.3.1); or
   * as a token in the password with any user name, as in `curl -u :<token>`.
   */
  basic: 'no' | 'client' | 'password'
  /** Lower-case names of other header fields that contain just a token. */
  fields: readonly string[]
}

export type Presented = { secret: Secret; clientId?: string }

/**
 * The credential in a request's raw header fields (names and values alternate). Two credentials are rejected even if
 * they are equal, since a proxy may have checked the other one (RFC 6750 §2).
 */
export function presentedIn(rawHeaders: readonly string[], { basic, fields }: PresentedOptions): Presented {
  const found: (() => Presented)[] = []
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]?.toLowerCase() ?? ''
    const value = (rawHeaders[i + 1] ?? '').trim()
    if (name === 'authorization') found.push(() => orRefuse(presentedInAuthorization(value, basic)))
    else if (fields.includes(name)) found.push(() => ({ secret: new Secret(visible(value)) }))
  }
  const [read, another] = found
  if (!read) throw new AppError('unauthenticated', 'Send a token in the Authorization header.')
  if (another) throw new AppError('invalid_request', 'The request has more than one credential; send one.')
  return read()
}

/** Undefined if the scheme is not supported. */
export function presentedInAuthorization(
  value: string,
  basic: PresentedOptions['basic'],
): Presented | undefined {
  const bearer = /^Bearer +([A-Za-z0-9\-._~+/]+=*)$/i.exec(value)?.[1]
  if (bearer) return { secret: new Secret(bearer) }
  const encoded = basic === 'no' ? undefined : /^Basic +([A-Za-z0-9+/_-]+=*)$/i.exec(value)?.[1]
  if (encoded === undefined) return undefined
  const [user = '', ...rest] = Buffer.from(encoded, 'base64').toString().split(':')
  const password = rest.join(':')
  if (basic === 'password') return { secret: new Secret(visible(password)) }
  return { clientId: formDecode(user), secret: new Secret(formDecode(password)) }
}

function visible(text: string): string {
  if (/^[\x21-\x7E]+$/.test(text)) return text
  throw new AppError('unauthenticated', 'The credential contains characters that no token has.')
}

function orRefuse(presented: Presented | undefined): Presented {
  if (presented) return presented
  throw new AppError('unauthenticated', 'The Authorization header has an unsupported scheme.')
}

function formDecode(text: string): string {
  return new URLSearchParams(`value=${text.replaceAll('&', '%26')}`).get('value') ?? ''
}

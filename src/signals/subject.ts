/** How an event identifies a user: by a possible subject of an owner, or by an e-mail address. */
export type Names = {
  subjects: string[]
  emails: string[]
  /** The organization of the user, if the event names it. */
  tenant: string | undefined
}

type Name = { subject: unknown } | { email: unknown }

const maxNames = 20
const longest = 320

/**
 * The user that an event is about: a subject identifier (RFC 9493), a complex subject with a `user`, or one of the formats
 * before RFC 9493, which have `subject_type`.
 */
export function namesIn(subject: unknown, issuer: string): Names {
  const names = namesOf(subject, issuer).slice(0, maxNames)
  return {
    subjects: names.flatMap((name) => ('subject' in name ? storable(name.subject) : [])),
    emails: names.flatMap((name) => ('email' in name ? storable(name.email) : [])),
    tenant: tenantIn(subject),
  }
}

/** Of a complex subject (SSF §3.2). */
function tenantIn(subject: unknown): string | undefined {
  if (!isObject(subject) || !isObject(subject.tenant)) return undefined
  const [tenant = ''] = storable(subject.tenant.id)
  return tenant
}

function namesOf(subject: unknown, issuer: string, depth = 0): Name[] {
  if (!isObject(subject) || depth > 2) return []
  const { format, subject_type, id, email, uri, identifiers, user } = subject
  switch (String(format ?? subject_type ?? 'complex').replaceAll('-', '_')) {
    case 'iss_sub':
      return issuedSubject(subject, issuer)
    case 'opaque':
      return [{ subject: id }]
    case 'email':
      return [{ email }]
    case 'account':
      return [{ email: typeof uri === 'string' ? uri.replace(/^acct:/i, '') : undefined }]
    case 'id_token_claims':
      return [...issuedSubject(subject, issuer), { email }]
    case 'aliases':
      if (!Array.isArray(identifiers)) return []
      return identifiers.slice(0, maxNames).flatMap((one) => namesOf(one, issuer, depth + 1))
    case 'complex':
      return namesOf(user, issuer, depth + 1)
    default:
      return []
  }
}

/** Another issuer's subjects are other people. */
function issuedSubject({ iss, sub }: Record<string, unknown>, issuer: string): Name[] {
  return iss === issuer ? [{ subject: sub }] : []
}

function storable(value: unknown): string[] {
  const fits = typeof value === 'string' && value !== '' && value.length <= longest
  return fits && value.isWellFormed() && !value.includes('\0') ? [value] : []
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

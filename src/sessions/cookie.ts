import { parseCookie, stringifySetCookie } from 'cookie'
import { Secret } from '../shared/secret.ts'

/**
 * The cookie of sessions. Over HTTPS its name starts with `__Host-`: browsers then accept it only from this very host
 * with Secure, so that no other host of the domain can plant a session here. Without HTTPS, which is for
 * http://localhost only, not every browser would store such a cookie.
 */
export function sessionCookie(publicUrl: string) {
  const secure = publicUrl.startsWith('https:')
  const attributes = {
    name: secure ? '__Host-counterfoil' : 'counterfoil',
    ...({ path: '/', httpOnly: true, sameSite: 'lax' } as const),
    secure,
  }
  return {
    read(header: string | undefined): Secret | undefined {
      const value = header === undefined ? undefined : parseCookie(header)[attributes.name]
      return value === undefined || value === '' ? undefined : new Secret(value)
    },
    set: (session: Secret) => stringifySetCookie({ ...attributes, value: session.reveal() }),
    clear: stringifySetCookie({ ...attributes, value: '', maxAge: 0 }),
  }
}

export type SessionCookie = ReturnType<typeof sessionCookie>

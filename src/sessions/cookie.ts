import { parseCookie, stringifySetCookie } from 'cookie'
import { Secret } from '../shared/secret.ts'

export const sessionCookie = (publicUrl: string) => hostCookie(publicUrl, { label: 'counterfoil' })

/** Binds a sign-in at a provider to the browser that started it, for as long as a user may take there. */
export const signInCookie = (publicUrl: string) =>
  hostCookie(publicUrl, { label: 'counterfoil-sign-in', maxAge: 10 * 60 })

/**
 * A cookie with a secret. Over HTTPS its name starts with `__Host-`: browsers then accept it only from this very host
 * with Secure, so that no other host of the domain can plant a session here. Without HTTPS, which is for
 * http://localhost only, not every browser would store such a cookie. It is sent when another site leads here, as an
 * issuer does at the end of a sign-in, but with none of its other requests (SameSite=Lax).
 */
function hostCookie(publicUrl: string, { label, maxAge }: { label: string; maxAge?: number }) {
  const secure = publicUrl.startsWith('https:')
  const attributes = {
    name: secure ? `__Host-${label}` : label,
    ...({ path: '/', httpOnly: true, sameSite: 'lax' } as const),
    secure,
  }
  return {
    read(header: string | undefined): Secret | undefined {
      const value = header === undefined ? undefined : parseCookie(header)[attributes.name]
      return value === undefined || value === '' ? undefined : new Secret(value)
    },
    set: (secret: Secret) =>
      stringifySetCookie({ ...attributes, value: secret.reveal(), ...(maxAge && { maxAge }) }),
    clear: stringifySetCookie({ ...attributes, value: '', maxAge: 0 }),
  }
}

export type SessionCookie = ReturnType<typeof hostCookie>

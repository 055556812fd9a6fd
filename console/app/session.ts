import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import { api, done, type Shapes } from './api.ts'
import { apiUrl } from './base.ts'

/** Who is signed in, and what they may do. */
export type Me = {
  name: string
  organization: string
  permissions: readonly string[]
  /** Reaches every organization. */
  ofPlatform: boolean
}

const platform = 'platform'

export async function whoAmI(): Promise<Me> {
  return meOf(await done(api.GET('/v1/self', {})))
}

function meOf(self: Shapes['Self']): Me {
  const { organization } = self
  const ofPlatform = organization === platform
  if ('permissions' in self)
    return { name: self.email ?? self.subject, organization, permissions: self.permissions, ofPlatform }
  const permissions = self.type === 'management' ? self.scopes : []
  return { name: self.name, organization, permissions, ofPlatform }
}

export function may(me: Me, ...permissions: string[]): boolean {
  return me.permissions.some((held) => held === 'platform:admin' || permissions.includes(held))
}

const Who = createContext<Me>({ name: '', organization: '', permissions: [], ofPlatform: false })
export const MeProvider = Who.Provider
export const useMe = () => useContext(Who)

/** The token goes in the header where the API expects it; the answer's cookie takes its place from then on. */
export async function signInWithToken(token: string): Promise<void> {
  await done(api.POST('/v1/sessions', { headers: { authorization: `Bearer ${token}` } }))
}

/** Whether the one-time link was good. */
export async function signInWithLink(code: string): Promise<boolean> {
  const response = await fetch(`${apiUrl}/console/sign-in/link`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code }),
  })
  return response.ok
}

export async function signOut(): Promise<void> {
  let cursor: string | undefined
  do {
    const query = { limit: 200, ...(cursor && { cursor }) }
    const { items, next_cursor } = await done(api.GET('/v1/sessions', { params: { query } }))
    const current = items.find((session) => session.current)
    if (current) {
      await done(api.DELETE('/v1/sessions/{session}', { params: { path: { session: current.id } } }))
      return
    }
    cursor = next_cursor ?? undefined
  } while (cursor)
}

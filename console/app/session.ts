import { createContext } from 'preact'
import { useContext } from 'preact/hooks'
import { api, done, Refusal, type Shapes } from './api.ts'
import { apiUrl } from './base.ts'
import { currentPlace } from './router.ts'
import { words } from './words.ts'

/** The signed-in user or token, and its permissions. */
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

/** The token is sent in the header as for the API; the session cookie replaces it from then on. */
export async function signInWithToken(token: string): Promise<void> {
  sessionStorage.removeItem(lastStart)
  await done(api.POST('/v1/sessions', { headers: { authorization: `Bearer ${token}` } }))
}

/** Whether the one-time link was valid. */
export async function signInWithLink(code: string): Promise<boolean> {
  const response = await fetch(`${apiUrl}/console/sign-in/link`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ code }),
  })
  return response.ok
}

export type Provider = { id: string; name: string; of_platform: boolean }
export type Providers = { items: Provider[]; by_organization: boolean }

const remembered = 'counterfoil.organization'

/** The last sign-in at a provider in this tab. */
const lastStart = 'counterfoil.sign-in'

/** The organization in the link to this page, or else the one that was used last. */
export function rememberedOrganization(query: URLSearchParams): string {
  return query.get('organization') ?? localStorage.getItem(remembered) ?? ''
}

export async function findProviders(organization: string): Promise<Providers> {
  const query = organization === '' ? '' : `?${new URLSearchParams({ organization })}`
  return asked<Providers>(fetch(`${apiUrl}/console/sign-in/issuers${query}`))
}

/** Goes to the provider to sign in, and comes back to this page. */
export async function startSignIn(issuer: string, organization: string): Promise<void> {
  if (organization !== '') localStorage.setItem(remembered, organization)
  sessionStorage.setItem(lastStart, JSON.stringify({ issuer, organization, at: Date.now() }))
  const { path } = currentPlace()
  const place = path === '/sign-in' ? '/' : `${path}${location.search}`
  const body = { issuer, return_to: place, ...(organization !== '' && { organization }) }
  const answer = await asked<{ location: string }>(
    fetch(`${apiUrl}/console/sign-in/openid`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  )
  location.assign(answer.location)
}

/**
 * Signs in again at the provider of the session that has ended, usually without user interaction. At most once a
 * minute, so that a session that ends at once shows the sign-in screen.
 */
export async function signInAgain(): Promise<void> {
  const last = sessionStorage.getItem(lastStart)
  if (last === null) return
  const { issuer, organization, at } = JSON.parse(last)
  if (Date.now() - at > 60_000) await startSignIn(issuer, organization)
}

/** Ends the session; returns the provider's page for signing out, if it has one. */
export async function signOut(): Promise<string | null> {
  sessionStorage.removeItem(lastStart)
  const { location } = await asked<{ location: string | null }>(
    fetch(`${apiUrl}/console/sign-out`, { method: 'POST' }),
  )
  return location
}

/** The response of a path that only the pages of the console use. */
async function asked<Data>(answering: Promise<Response>): Promise<Data> {
  const response = await answering.catch(() => {
    throw new Refusal({ detail: words.errors.network, code: 'network', status: 0 })
  })
  const body = await response.json()
  if (!response.ok) throw new Refusal(body)
  return body as Data
}

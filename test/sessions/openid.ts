import { randomUUID } from 'node:crypto'
import { browse } from '../issuers/browser.ts'
import type { OpenidProvider } from '../issuers/provider.ts'
import { trust } from '../issuers/trust.ts'
import { recordSecret } from '../support/records.ts'
import { type Answer, issuer as usualUrl, type World } from '../support/world.ts'

export const own = { 'sec-fetch-site': 'same-origin' }

/** A browser as far as cookies go. */
export class Browser {
  readonly #world: World
  readonly #cookies = new Map<string, { value: string; until: number }>()

  constructor(world: World) {
    this.#world = world
  }

  get cookie(): string {
    const kept = [...this.#cookies].filter(([, { until }]) => until > this.#world.clock.now.getTime())
    return kept.map(([name, { value }]) => `${name}=${value}`).join('; ')
  }

  /** Another instance of the service, or another browser's cookies. */
  on(world: World): Browser {
    const browser = new Browser(world)
    for (const [name, value] of this.#cookies) browser.#cookies.set(name, value)
    return browser
  }

  async ask(
    method: string,
    url: string,
    { body, headers = own }: { body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const { cookie } = this
    const answer = await this.#world.ask(method, url, {
      token: '',
      body,
      headers: { ...headers, ...(cookie && { cookie }) },
    })
    this.take(answer.headers)
    return answer
  }

  /** Keeps the cookies of a response. */
  take(headers: Answer['headers']): void {
    for (const line of [headers['set-cookie'] ?? []].flat()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? []
      const [, age = Number.POSITIVE_INFINITY] = /; Max-Age=(\d+)/.exec(line) ?? []
      if (value === '') this.#cookies.delete(name)
      else {
        recordSecret(value)
        this.#cookies.set(name, { value, until: this.#world.clock.now.getTime() + Number(age) * 1000 })
      }
    }
  }

  /** Starts to sign in; returns the URL at the issuer. */
  async start(
    { id, organization = 'default' }: Registered,
    place = '/',
    headers: Record<string, string> = own,
  ): Promise<URL> {
    const body = { issuer: id, organization, return_to: place }
    const answer = await this.ask('POST', '/console/sign-in/openid', { body, headers })
    if (answer.status !== 200) throw new Error(answer.text)
    return new URL(answer.body.location)
  }

  /** Comes back from the issuer. */
  async comeBack(url: URL): Promise<Answer> {
    recordSecret(url.searchParams.get('code') ?? '')
    return this.ask('GET', `${url.pathname}${url.search}`, { headers: { 'sec-fetch-site': 'cross-site' } })
  }

  /** Signs in like a person. */
  async signIn(registered: Registered, subject: string, place?: string): Promise<Answer> {
    return this.comeBack(await browse(await this.start(registered, place), subject, registered.redirectUri))
  }
}

export type Registered = { id: string; redirectUri: string; clientId: string; organization?: string }

/** Registers a provider for sign-in to the console, with a client of its own. */
export async function trustForConsole(
  world: World,
  provider: OpenidProvider,
  {
    organization = 'default',
    publicUrl = usualUrl,
    ...more
  }: { organization?: string; publicUrl?: string; [member: string]: unknown } = {},
): Promise<Registered> {
  const secret = randomUUID()
  recordSecret(secret)
  const audience = randomUUID()
  const registration = { audience, scope: 'openid email groups', ...more }
  const { id, redirect_uri: redirectUri } = await trust(world, provider, registration, organization)
  const clientId = provider.register({ redirectUri, signedOutUri: `${publicUrl}/console/`, secret })
  const answer = await world.ask('PUT', `/v1/organizations/${organization}/issuers/${id}`, {
    body: {
      name: 'Sign-in',
      issuer: provider.issuer,
      client_id: clientId,
      client_secret: secret,
      ...registration,
    },
  })
  if (answer.status !== 200) throw new Error(answer.text)
  return { id, redirectUri, clientId, organization }
}

export function failureIn({ status, headers }: Answer): string | null {
  if (status !== 303) return `status ${status}`
  return new URL(headers.location ?? '', usualUrl).searchParams.get('error')
}

import { ask } from '../http.ts'
import { type IssuedToken, organization, type Seeded, tokenType } from '../seed.ts'

const collection = `/v1/organizations/${organization}/tokens`

/** Single operations of the harness; an unexpected response fails the run. */
export async function createToken(port: number, { admin }: Pick<Seeded, 'admin'>): Promise<IssuedToken> {
  const json = { name: 'A token of the benchmark', type: tokenType, scopes: ['read'] }
  return JSON.parse(await expect(201, ask(port, 'POST', collection, { token: admin, json })))
}

export async function listTokens(port: number, { admin }: Seeded): Promise<void> {
  await expect(200, ask(port, 'GET', `${collection}?limit=50`, { token: admin }))
}

export async function revokeToken(port: number, { admin }: Seeded, id: string): Promise<void> {
  await expect(200, ask(port, 'POST', `${collection}/${id}/revoke`, { token: admin }))
}

export async function rotateToken(port: number, { admin }: Seeded, id: string): Promise<void> {
  await expect(200, ask(port, 'POST', `${collection}/${id}/rotate`, { token: admin, json: {} }))
}

/** Undefined: the service cannot tell, which clients must treat as inactive. */
export async function isActive(
  port: number,
  { resourceServer }: Seeded,
  secret: string,
): Promise<boolean | undefined> {
  const { status, body } = await ask(port, 'POST', '/introspect', {
    token: resourceServer,
    form: `token=${secret}`,
  })
  if (status === 503) return undefined
  if (status !== 200) throw new Error(`an introspection was answered ${status} ${body}`)
  return JSON.parse(body).active
}

async function expect(status: number, answer: ReturnType<typeof ask>): Promise<string> {
  const { status: actual, body } = await answer
  if (actual !== status) throw new Error(`an answer was ${actual} instead of ${status}: ${body}`)
  return body
}

import { join } from 'node:path'
import type { Test } from 'tap'
import { openApi } from '../../src/apply/api.ts'
import { apply } from '../../src/apply/apply.ts'
import { readConfiguration } from '../../src/apply/file.ts'
import { Secret } from '../../src/shared/secret.ts'
import { createDatabaseWithServiceRole } from './database.ts'
import { recordSecret } from './records.ts'
import { retried } from './retried.ts'
import { createWorld, type World } from './world.ts'

export const products = [
  'scim-mcp-admin',
  'organization-scim',
  'jwt-tenant',
  'personal-access',
  'scoped-platform',
] as const

type Request = { token?: string; body?: unknown; headers?: Record<string, string> }
export type Reply = { status: number; headers: Headers; body: any; text: string }

/** A product with Counterfoil as its token backend: a listening server with an organization set up for it. */
export type Product = {
  url: string
  clock: World['clock']
  admin: string
  /** The product's backend, which may read and change all tokens. */
  backend: string
  /** The path of its organization's tokens. */
  tokens: string
  organization: string
  http(method: string, path: string, request?: Request): Promise<Reply>
  create(body: object, token?: string): Promise<Reply>
  list(query?: string, token?: string): Promise<any[]>
  /** A resource server's introspection of a presented token. */
  introspect(secret: string): Promise<any>
  /** A gateway's verification of a request with these header fields, for a route with this requirement. */
  verify(headers: Record<string, string>, query?: string): Promise<Reply>
  /** A credential with these permissions, for tokens of every organization. */
  credential(scopes: string[], more?: object): Promise<string>
  inDays(days: number): string
  /** Writes the uses that are only counted in memory so far. */
  flushUsage(): Promise<void>
}

const day = 24 * 60 * 60 * 1000
const verification = { fields: ['x-deploy-personal-token'], trustedNetworks: [] }

/** The file with which docs/products.md sets up a product. */
export function fileOf(name: string): string {
  return join(import.meta.dirname, `../../examples/products/${name}.yaml`)
}

export async function startProduct(t: Test, name: string, organization = 'acme'): Promise<Product> {
  const { service: databaseUrl } = await createDatabaseWithServiceRole()
  const world = await createWorld(t, { databaseUrl, withExamples: false, verification })
  const url = await world.app.listen({ host: '127.0.0.1', port: 0 })

  async function http(method: string, path: string, { token = backend, body, headers }: Request = {}) {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    const json = /json/.test(response.headers.get('content-type') ?? '')
    const parsed = json && text !== '' ? JSON.parse(text) : undefined
    if (parsed?.secret) recordSecret(parsed.secret)
    return { status: response.status, headers: response.headers, body: parsed, text }
  }

  const must = async (status: number, ...request: Parameters<typeof http>) => {
    const reply = await http(...request)
    if (reply.status !== status) throw new Error(`${request[1]}: ${reply.text}`)
    return reply.body
  }
  const credential = async (scopes: string[], more: object = {}) => {
    const body = { name: scopes.join(' '), type: 'management', scopes, ...more }
    const path = '/v1/organizations/platform/tokens'
    return (await must(201, 'POST', path, { token: world.admin, body })).secret as string
  }

  let backend = world.admin
  const { organizations = [] } = readConfiguration(fileOf(name))
  const configuration = { organizations: organizations.map((one) => ({ ...one, key: organization })) }
  await apply(openApi({ url, token: new Secret(world.admin) }), configuration, {
    dryRun: false,
    onStep() {},
  })
  backend = await credential(['tokens:read', 'tokens:write'])
  const resourceServer = await credential(['tokens:introspect'])
  const tokens = `/v1/organizations/${organization}/tokens`

  return {
    url,
    clock: world.clock,
    admin: world.admin,
    backend,
    tokens,
    organization: `/v1/organizations/${organization}`,
    http,
    credential,
    create: (body, token = backend) => retried(() => http('POST', tokens, { token, body })),
    list: async (query = '', token = backend) =>
      (await must(200, 'GET', `${tokens}${query}`, { token })).items,
    async introspect(secret) {
      const response = await fetch(`${url}/introspect`, {
        method: 'POST',
        headers: { authorization: `Bearer ${resourceServer}` },
        body: new URLSearchParams({ token: secret }),
      })
      return response.json()
    },
    verify: (headers, query = '') =>
      http('GET', `/verify${query}`, {
        token: '',
        headers: { 'x-counterfoil-gateway': resourceServer, ...headers },
      }),
    flushUsage: () => world.usage.flush(),
    inDays: (days) => new Date(world.clock.now.getTime() + days * day).toISOString(),
  }
}

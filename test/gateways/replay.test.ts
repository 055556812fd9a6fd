// Gateways that Debian does not package: requests are sent as their documentation says they send them. URL and header
// fields come from the configurations on the documentation pages.

import { readFileSync } from 'node:fs'
import { request } from 'node:http'
import t from 'tap'
import { root } from '../docs/markdown.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t, { trustProxy: ['127.0.0.1'] })
const gateway = await world.manager(['tokens:introspect'], 'platform')
const address = await world.app.listen({ host: '127.0.0.1', port: 0 })
const shown = (path: string) => readFileSync(`${root}/docs/gateways/${path}`, 'utf8')
const found = (path: string, pattern: RegExp) => pattern.exec(shown(path))?.[1] ?? ''
const forwarded = [
  'X-Forwarded-Proto',
  'https',
  'X-Forwarded-Host',
  'api.example',
  'X-Forwarded-For',
  '192.0.2.7',
]

type Client = { method: string; uri: string; headers: string[] }
type Request = { method: string; path: string; headers: string[] }

/** The request that each gateway sends to Counterfoil for a client's request. */
const gateways: Record<string, (client: Client) => Request> = {
  // https://doc.traefik.io/traefik/reference/routing-configuration/http/middlewares/forwardauth/
  Traefik: ({ method, uri, headers }) => ({
    method: 'GET',
    path: found('traefik/counterfoil.yml', /address: http:\/\/127\.0\.0\.1:7662(\S+)/),
    headers: [
      ...headers,
      ...['X-Counterfoil-Gateway', gateway, 'X-Forwarded-Method', method, 'X-Forwarded-Uri', uri],
      ...forwarded,
    ],
  }),
  // https://caddyserver.com/docs/caddyfile/directives/forward_auth
  Caddy: ({ method, uri, headers }) => ({
    method: 'GET',
    path: found('caddy/Caddyfile', /uri (\S+)/),
    headers: [
      ...headers,
      ...['X-Counterfoil-Gateway', gateway, 'X-Forwarded-Method', method, 'X-Forwarded-Uri', uri],
      ...forwarded,
    ],
  }),
  // https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/ext_authz/v3/ext_authz.proto
  Envoy: ({ method, uri, headers }) => ({
    method,
    path: found('envoy/envoy.yaml', /path_prefix: (\S+)/) + uri,
    headers: [
      ...['Host', 'counterfoil', 'Content-Length', '0', ...onlyAuthorization(headers)],
      ...['X-Forwarded-For', '192.0.2.7', 'X-Counterfoil-Gateway', gateway],
      ...['X-Counterfoil-Require', found('envoy/envoy.yaml', /x-counterfoil-require, value: "(\S+)"/)],
    ],
  }),
}

function onlyAuthorization(headers: string[]): string[] {
  return headers.flatMap((name, i) =>
    i % 2 === 0 && name === 'Authorization' ? [name, headers[i + 1] ?? ''] : [],
  )
}

async function ask({ method, path, headers }: Request): Promise<{ status: number; headers: any }> {
  return new Promise((resolve, reject) => {
    const host = headers.includes('Host') ? [] : ['Host', 'counterfoil']
    request(`${address}${path}`, { method, headers: [...host, ...headers] }, (response) => {
      response.resume()
      resolve({ status: response.statusCode ?? 0, headers: response.headers })
    })
      .on('error', reject)
      .end()
  })
}

const bearer = (secret: string) => ['Authorization', `Bearer ${secret}`]
const scopes = ['orders:read', 'orders:write']
const good = await world.issue({ name: 'Orders', scopes, expires_at: null })
const narrow = await world.issue({ scopes: ['orders:write'] })
const expired = await world.issue({ scopes, lifetime_days: 1 })
const revoked = await world.issue({ scopes })
const here = await world.issue({ scopes, allowed_cidrs: ['192.0.2.0/24'], expires_at: null })
const elsewhere = await world.issue({ scopes, allowed_cidrs: ['198.51.100.0/24'], expires_at: null })
await world.ask('POST', `/v1/organizations/default/tokens/${revoked.id}/revoke`)
world.clock.advance(2 * day)
const forged = ['X-Token-Id', 'forged', 'X-Counterfoil-Require', 'type=none']
const token = (await world.issue({ scopes: ['orders:read'] })).secret

const cases: [what: string, headers: string[], status: number][] = [
  ['a good token', bearer(good.secret), 200],
  ['a good token as the password', ['Authorization', `Basic ${btoa(`me:${good.secret}`)}`], 200],
  ['a good token and forged header fields', [...forged, ...bearer(good.secret)], 200],
  ['no token', [], 401],
  ['garbage', bearer('garbage'), 401],
  ['an expired token', bearer(expired.secret), 401],
  ['a revoked token', bearer(revoked.secret), 401],
  ['a token that lacks a scope', bearer(narrow.secret), 403],
  ['two tokens', [...bearer(good.secret), ...bearer(token)], 401],
  ['a token that is good where the user is', bearer(here.secret), 200],
  ['a token that is good elsewhere', bearer(elsewhere.secret), 401],
]

for (const [name, requestOf] of Object.entries(gateways)) {
  t.test(`${name} gets responses that it understands`, async (t) => {
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD'])
      for (const [what, headers, status] of cases) {
        const answer = await ask(requestOf({ method, uri: '/orders/7?page=2&scope=x', headers }))
        t.equal(answer.status, status, `${method} with ${what}`)
        t.equal('www-authenticate' in answer.headers, status !== 200, what)
        for (const field of ['id', 'subject', 'organization', 'scope', 'type', 'name', 'expires-at'])
          t.equal(`x-token-${field}` in answer.headers, status === 200, `${field} with ${what}`)
        t.notMatch(answer.headers['x-token-id'], /forged/)
      }
  })

  t.test(`${name} rejects tokens in the URL, alone or with another one`, async (t) => {
    const uri = `/orders/7?access_token=${good.secret}`
    for (const headers of [[], bearer(good.secret)])
      t.equal((await ask(requestOf({ method: 'GET', uri, headers }))).status, 401)
  })
}

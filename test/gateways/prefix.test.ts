import { decodeJwt } from 'jose'
import * as oauth from 'oauth4webapi'
import t from 'tap'
import { blocks } from '../docs/markdown.ts'
import { makeSpare, matrix, pathOf } from '../http/matrix.ts'
import { makeClient, withAssertion } from '../support/client.ts'
import { createSite, isInstalled } from '../support/gateway.ts'
import { freePort } from '../support/process.ts'
import type { Ask } from '../support/world.ts'
import { startNginx } from './nginx.ts'

/** Endpoints that the metadata names and that answer GET with 405. */
const notRead = /\/(introspect|revoke|ssf\/events\/.+|v1\/sessions\/.+)$/

if (isInstalled('nginx', '-v')) {
  const port = await freePort()
  const publicUrl = `http://127.0.0.1:${port}/prefix`
  const site = await createSite(t, { issuer: publicUrl }, undefined, port)
  const { world, counterfoil } = site
  const [shown = ''] = blocks('docs/operating.md', 'nginx')
  const locations = shown.replaceAll('127.0.0.1:7662', counterfoil)
  await startNginx(site, `server { listen 127.0.0.1:${port}; ${locations} }`)

  const send = async (
    method: string,
    url: string,
    { token = world.admin, headers = {}, body, form }: Ask = {},
  ) => {
    const type = form ? 'application/x-www-form-urlencoded' : 'application/json'
    const response = await fetch(url, {
      method,
      redirect: 'manual',
      headers: {
        ...(token && { authorization: `Bearer ${token}` }),
        ...((body || form) && { 'content-type': type }),
        ...headers,
      },
      ...(body ? { body: JSON.stringify(body) } : form && { body: new URLSearchParams(form) }),
    })
    const text = await response.text()
    const isJson = /\bjson$/.test(response.headers.get('content-type')?.split(';')[0] ?? '')
    return { url, status: response.status, headers: response.headers, text, body: isJson && JSON.parse(text) }
  }
  type Answer = Awaited<ReturnType<typeof send>>

  /** Every URL of this service in the header fields and body of a response, by the name of its field or member. */
  const emitted = ({ url, headers, body }: Answer): [string, URL][] => {
    const link = /^<(.+)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1]
    const found = [['location', headers.get('location')], ['link', link], ...strings('', body)]
    return found.flatMap(([name, text]) => {
      const isOurs =
        text &&
        // The key and the checkpoints of the transparency log contain its name, which is like a URL.
        !['endpoint', 'key', 'checkpoint'].includes(name ?? '') &&
        (name === 'location' || /^[/?]/.test(text) || text.includes(`127.0.0.1:${port}`))
      return name && isOurs ? [[name, new URL(text, url)]] : []
    })
  }

  const document = (await send('GET', `${publicUrl}/openapi.json`)).body
  const base = new URL(document.servers[0].url, `${publicUrl}/openapi.json`).href

  t.test('the served OpenAPI document has the prefix in its server URL', async (t) => {
    t.equal(base, publicUrl)
    t.same((await send('GET', `${publicUrl}/docs/json`)).body, document)
  })

  t.test('every operation works below the prefix, and so does every URL in its responses', async (t) => {
    const names = new Set<string>()
    const visited = new Set<string>()
    const follow = async (answer: Answer) => {
      for (const [name, target] of emitted(answer)) {
        names.add(name)
        t.ok(`${target}/`.startsWith(`${publicUrl}/`), `${name} of ${answer.url}: ${target}`)
        if (visited.has(target.href)) continue
        visited.add(target.href)
        const reached = await fetch(target, { headers: { authorization: `Bearer ${world.admin}` } })
        await reached.body?.cancel()
        const expected = notRead.test(target.href) ? 405 : 200
        t.equal(reached.status, expected, `${name} of ${answer.url}: ${target}`)
      }
    }
    let count = 0
    for (const [path, item] of Object.entries<any>(document.paths))
      for (const [verb, { operationId, parameters = [] }] of Object.entries<any>(item)) {
        const row = matrix[operationId]
        if (!row) continue
        const target = await makeSpare(world, operationId, ++count)
        const gateway = { token: target.token.secret, headers: { 'x-counterfoil-gateway': world.admin } }
        const ask = row.byGateway ? gateway : (row.ask?.(target, count) ?? {})
        // The administrator is still needed.
        const own = operationId === 'revokeSelf' && { token: await world.manager(['tokens:read']) }
        // The administrator of the platform provisions its users.
        const url = `${base}${pathOf({ path }, { ...target, user: target.usersOfPlatform })}`
        const pages = parameters.some(({ name }: { name: string }) => name === 'limit') ? '?limit=1' : ''
        const refused = await send(verb.toUpperCase(), url, { ...ask, token: '', headers: {} })
        const anonymous = row.needs === 'nothing' ? row.ok : 401
        if (operationId !== 'receiveSecurityEvent')
          t.equal(refused.status, anonymous, `${operationId} without a credential`)
        await follow(refused)
        await follow(await send('PROPFIND', url, { token: '' }))
        const answer = await send(verb.toUpperCase(), `${url}${pages}`, { ...ask, ...own })
        t.equal(answer.status, row.ok, `${operationId}: ${answer.text}`)
        await follow(answer)
      }
    t.equal(count, Object.keys(matrix).length)
    const kinds = ['location', 'link', 'type', 'issuer', 'jwks_uri', 'service_documentation', 'iss']
    for (const name of [...kinds, 'introspection_endpoint', 'revocation_endpoint'])
      t.ok(names.has(name), name)
  })

  t.test(
    'the console and the reference load scripts and styles below the prefix, from each of their URLs',
    async (t) => {
      for (const path of ['', '/', '/docs', '/docs/', '/docs?a', '/docs/?a', '/docs/static/index.html']) {
        const page = await fetch(publicUrl + path)
        t.ok(page.url.startsWith(`${publicUrl}/${path.startsWith('/docs') ? 'docs' : 'console'}`), path)
        const html = await page.text()
        const assets = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map((match) => match[1] ?? '')
        t.ok(assets.length >= 5, path)
        for (const asset of assets) {
          const url = new URL(asset, page.url).href
          t.ok(url.startsWith(`${publicUrl}/`), `${asset} of ${path}`)
          const { status, body } = await fetch(url)
          await body?.cancel()
          t.equal(status, 200, `${asset} of ${path}`)
        }
      }
    },
  )

  t.test(
    'RFC 8414 §3.1: clients find the metadata at the root of the host, and below the prefix too',
    async (t) => {
      const issuer = new URL(publicUrl)
      const options = { algorithm: 'oauth2', [oauth.allowInsecureRequests]: true } as const
      const found = await oauth.processDiscoveryResponse(
        issuer,
        await oauth.discoveryRequest(issuer, options),
      )
      t.equal(found.introspection_endpoint, `${publicUrl}/introspect`)
      const below = await send('GET', `${publicUrl}/.well-known/oauth-authorization-server`, { token: '' })
      t.same(below.body, found)
    },
  )

  t.test('JWTs and assertions contain the URL with the prefix', async (t) => {
    await world.ask('POST', '/v1/token-types', {
      body: { name: 'jwt', format: 'jwt', status_list: true },
    })
    const { secret } = await world.issue({ type: 'jwt' })
    const claims = decodeJwt<{ status: { status_list: { uri: string } } }>(secret)
    t.equal(claims.iss, publicUrl)
    const list = await send('GET', claims.status.status_list.uri, { token: '' })
    t.match(decodeJwt(list.text), { iss: publicUrl, sub: claims.status.status_list.uri })
    t.match(list.url, `${publicUrl}/status-lists/`)

    const client = await makeClient(world)
    const endpoint = `${publicUrl}/introspect`
    const introspectAs = async (aud: string) => {
      const form = { token: secret, ...withAssertion(await client.sign({ aud })) }
      return send('POST', endpoint, { token: '', form })
    }
    for (const aud of [publicUrl, endpoint])
      t.match(await introspectAs(aud), { status: 200, body: { active: true, iss: publicUrl } }, aud)
    const { origin } = new URL(publicUrl)
    for (const aud of [origin, `${origin}/introspect`, `${publicUrl}/revoke`])
      t.match(await introspectAs(aud), { status: 401, body: { error: 'invalid_client' } }, aud)
  })
} else {
  t.test('nginx is not installed', { skip: 'apt-get install nginx-light' }, async () => {})
}

/** The strings of a body, with the names of their members. */
function strings(name: string, value: unknown): [string, string][] {
  if (typeof value === 'string') return [[name, value]]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([member, inner]) =>
    strings(Array.isArray(value) ? name : member, inner),
  )
}

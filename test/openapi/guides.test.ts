import { globSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const get = (url: string) => world.ask('GET', url, { token: '' })
const guides = globSync('**/*.md', { cwd: join(import.meta.dirname, '../../docs') }).sort()

/** The paths and anchors that a page links to, resolved against its own URL. */
function linksIn(html: string, from: string): URL[] {
  const found = [...html.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, target = '']) => target)
  return found.map((target) => new URL(target, `http://itself${from}`))
}

t.test('every guide is a page, listed in the index, without scripts', async (t) => {
  t.ok(guides.includes('gateways/nginx.md'))
  const index = await get('/docs/guides/')
  t.equal(index.status, 200)
  const listed = linksIn(index.text, '/docs/guides/').map(({ pathname }) => pathname)
  for (const guide of guides) {
    const path = `/docs/guides/${guide}`
    t.ok(listed.includes(path), `${guide} is in the index`)
    const { status, headers, text } = await get(path)
    t.equal(status, 200, guide)
    t.match(headers['content-type'], /^text\/html/)
    t.equal(
      headers['content-security-policy'],
      "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    t.match(text, /<title>[^<]+ · Counterfoil<\/title>/)
    t.notMatch(text, /<script/)
  }
})

t.test('links between guides, to their headings, and to the reference have targets', async (t) => {
  let anchors = 0
  for (const guide of ['', ...guides]) {
    const path = `/docs/guides/${guide}`
    for (const link of linksIn((await get(path)).text, path)) {
      if (link.host !== 'itself') continue
      const target = await get(link.pathname)
      t.equal(target.status, 200, `${guide} → ${link.pathname}`)
      if (link.hash === '') continue
      anchors++
      t.ok(target.text.includes(`id="${decodeURIComponent(link.hash.slice(1))}"`), `${guide} → ${link.hash}`)
    }
  }
  t.ok(anchors > 5, `${anchors} links to headings`)
})

t.test('files that are not guides are not served, however the path is written', async (t) => {
  for (const path of [
    'nothing.md',
    '../package.json',
    '..%2Fpackage.json',
    '..%2f..%2fetc%2fpasswd',
    'gateways/..%2F..%2FREADME.md',
    'gateways/%2e%2e/%2e%2e/README.md',
    'gateways/nginx/',
    'Operating.md',
    'operating.md%00',
  ]) {
    const { status } = await get(`/docs/guides/${path}`)
    t.ok(status === 404 || status === 400, `${path}: ${status}`)
  }
})

t.test('the OpenAPI document links to guides that exist', async (t) => {
  const { tags, externalDocs } = world.app.swagger() as any
  const links = [externalDocs, ...tags.flatMap((tag: any) => tag.externalDocs ?? [])]
  t.ok(links.length > 5)
  for (const { url } of links) t.equal((await get(url)).status, 200, url)
})

t.test('behind a proxy that strips a prefix, links include it or are relative', async (t) => {
  const prefixed = await createWorld(t, { issuer: 'https://api.example/tokens' })
  await prefixed.app.ready()
  const { externalDocs } = prefixed.app.swagger() as any
  t.equal(externalDocs.url, '/tokens/docs/guides/')
  const { text } = await prefixed.ask('GET', '/docs/guides/gateways/nginx.md', { token: '' })
  for (const { host, pathname } of linksIn(text, '/tokens/docs/guides/gateways/nginx.md'))
    if (host === 'itself') t.ok(pathname.startsWith('/tokens/docs/'), `${dirname(pathname)} has the prefix`)
})

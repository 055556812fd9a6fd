import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const get = (url: string) => world.ask('GET', url, { token: '' })

t.test('/docs is a page with working scripts and styles', async (t) => {
  const redirect = await get('/docs')
  const page = redirect.status === 302 ? await get(redirect.headers.location ?? '') : redirect
  t.equal(page.status, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  const assets = [...page.text.matchAll(/(?:src|href)="([^"#]+)"/g)].map((match) => match[1] ?? '')
  t.ok(assets.some((asset) => asset.endsWith('.js')) && assets.some((asset) => asset.endsWith('.css')))
  for (const asset of assets) {
    const { pathname, host } = new URL(asset, 'http://itself/docs/')
    t.equal(host, 'itself', `${asset} comes from no other host`)
    t.equal((await get(pathname)).status, 200, asset)
  }
})

t.test('the content security policy of /docs allows only its own scripts and no other hosts', async (t) => {
  const { headers } = await get('/docs/')
  const policy = String(headers['content-security-policy'])
  t.notMatch(policy, /https?:|\*|\.|upgrade/)
  const directives = Object.fromEntries(
    policy.split(';').map((directive) => {
      const [name, ...sources] = directive.trim().split(' ')
      return [name, sources]
    }),
  )
  t.ok(directives['script-src']?.includes("'self'"))
  t.notOk(directives['script-src']?.some((source: string) => /unsafe/.test(source)))
})

t.test('/docs shows the document of this service', async (t) => {
  const { body } = await get('/docs/json')
  t.same(body, world.app.swagger())
})

t.test('/ leads to the console', async (t) => {
  const { status, headers } = await get('/')
  t.equal(status, 303)
  t.equal(new URL(headers.location ?? '', 'http://itself/').pathname, '/console/')
})

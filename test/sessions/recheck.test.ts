// A user of an OpenID provider whose groups or account change at the provider, while they are signed in to the console.
import { once } from 'node:events'
import t from 'tap'
import { limits } from '../../src/sessions/sessions.ts'
import { type OpenidProvider, startProvider } from '../issuers/provider.ts'
import { createTrustingWorld } from '../issuers/trust.ts'
import { Browser, failureIn, type Registered, trustForConsole } from './openid.ts'

const world = await createTrustingWorld(t)
const { databaseUrl, signing } = world
const other = await createTrustingWorld(t, { databaseUrl, signing })
const grants = {
  default_permissions: ['tokens:own'],
  group_permissions: [{ group: 'admins', permissions: ['tokens:read', 'audit:read'] }],
}
const tokens = '/v1/organizations/default/tokens'

const refreshing = { issueRefreshToken: async () => true, rotateRefreshToken: true }
/** What Counterfoil asks each with: a refresh token, or the access token at the userinfo endpoint. */
const kinds = new Map([
  ['refresh token', await startProvider(t, refreshing)],
  ['refresh token, no userinfo endpoint', await startProvider(t, { ...refreshing, ...without('userinfo') })],
  ['access token', await startProvider(t)],
])
const registered = new Map<OpenidProvider, Registered>()
for (const provider of kinds.values())
  registered.set(provider, await trustForConsole(world, provider, grants))

/** The features of the provider without this one. */
function without(feature: string) {
  return { features: { devInteractions: { enabled: true }, [feature]: { enabled: false } } }
}

async function signedIn(provider: OpenidProvider, subject: string, groups = ['admins']) {
  provider.account(subject, { groups })
  const browser = new Browser(world)
  t.equal(failureIn(await browser.signIn(registered.get(provider) as Registered, subject)), null, subject)
  const { rows } = await world.sql('select id from sessions where subject = $1 order by created_at desc', [
    subject,
  ])
  return { browser, id: rows[0].id as string }
}

const permissionsOf = async (browser: Browser) =>
  (await browser.ask('GET', '/v1/self')).body.permissions.toSorted()

async function loggedAbout(target: string) {
  const { body } = await world.ask('GET', `/v1/organizations/default/audit-events?target=${target}`)
  return body.items
}

/** Advances both instances, so that the next request is checked. */
function pass(ms: number = limits.recheckMs) {
  world.clock.advance(ms)
  other.clock.now = new Date(world.clock.now)
}

t.afterEach(() => {
  world.clock.now = new Date()
  other.clock.now = new Date()
  for (const provider of kinds.values()) provider.replace()
})

for (const [kind, provider] of kinds) {
  t.test(`${kind}: a group that changes at the provider counts at the next request`, async (t) => {
    const { browser, id } = await signedIn(provider, 'mover')
    t.same(await permissionsOf(browser), ['audit:read', 'tokens:own', 'tokens:read'])
    provider.account('mover', { groups: [] })
    pass()
    t.same(await permissionsOf(browser), ['tokens:own'])
    provider.account('mover', { groups: ['admins'] })
    pass()
    t.same(await permissionsOf(browser), ['audit:read', 'tokens:own', 'tokens:read'])
    const all = ['tokens:own', 'tokens:read', 'audit:read']
    const [gained, lost, created] = await loggedAbout(id)
    t.equal(created.action, 'session.created')
    t.match(lost, { action: 'session.updated', actor: { id: 'sessions' } })
    t.same(new Set(lost.changes.before.permissions), new Set(all))
    t.same(lost.changes.after.permissions, ['tokens:own'])
    t.same(new Set(gained.changes.after.permissions), new Set(all))
  })

  for (const [what, end] of [
    ['whose tokens are revoked', () => provider.revoke('leaver')],
    ['who is deleted', async () => provider.forget('leaver')],
  ] as const)
    t.test(`${kind}: the session of a user ${what} ends with the next request`, async (t) => {
      const { browser, id } = await signedIn(provider, 'leaver')
      await end()
      pass()
      const answer = await browser.ask('GET', '/v1/self')
      t.match(answer, { status: 401, body: { code: 'unauthenticated' } })
      t.match((await loggedAbout(id))[0], {
        action: 'session.ended',
        changes: { after: { reason: 'provider_rejected', detail: /invalid_grant|rejects the access token/ } },
      })
    })

  t.test(`${kind}: requests at the same time, on two instances, share one check`, async (t) => {
    const { browser } = await signedIn(provider, 'busy')
    const there = browser.on(other)
    // Each round needs the refresh token of the one before.
    for (let round = 0; round < 3; round++) {
      pass()
      const before = provider.calls.length
      const answers = await Promise.all(
        [browser, there, browser, there].map((one) => one.ask('GET', '/v1/self')),
      )
      t.same(
        answers.map(({ status }) => status),
        [200, 200, 200, 200],
      )
      const checks = provider.calls.slice(before).filter((path) => /\/(token|me)$/.test(path))
      t.equal(new Set(checks).size, checks.length, 'the provider is asked once')
      t.ok(checks.length > 0)
    }
    const before = provider.calls.length
    await browser.ask('GET', '/v1/self')
    t.equal(provider.calls.length, before, 'and not again at once')
  })

  t.test(`${kind}: a provider that does not respond ends no session, but confirms none`, async (t) => {
    const { browser } = await signedIn(provider, 'waiting', [])
    const create = () => browser.ask('POST', tokens, { body: { name: 'x', type: 'api' } })
    t.equal((await create()).status, 201)
    for (const [failure, respond] of [
      ['503', (_request, response) => response.writeHead(503).end()],
      ['429', (_request, response) => response.writeHead(429).end()],
      ['no response', (request) => request.destroy()],
    ] satisfies [string, Parameters<OpenidProvider['replace']>[0]][]) {
      provider.replace(respond)
      pass()
      t.equal((await browser.ask('GET', '/v1/self')).status, 200, `${failure}: reading goes on for a minute`)
      t.match(await create(), { status: 503, body: { code: 'unavailable' } }, `${failure}: changes do not`)
      pass(limits.graceMs)
      t.match(await browser.ask('GET', '/v1/self'), { status: 503, body: { code: 'unavailable' } }, failure)
      provider.replace()
      t.equal((await browser.ask('GET', '/v1/self')).status, 200, `${failure}: and when it is back`)
      t.equal((await create()).status, 201)
    }
  })
}

t.test('requests that wait for a check share its failure', async (t) => {
  const provider = kinds.get('refresh token') as OpenidProvider
  const { browser } = await signedIn(provider, 'queued')
  let asked = 0
  provider.replace(async (request, response) => {
    asked += 1
    request.resume()
    await once(request, 'end')
    response.writeHead(503).end()
  })
  pass(limits.graceMs)
  const answers = await Promise.all([1, 2, 3].map(() => browser.ask('GET', '/v1/self')))
  t.same(
    answers.map(({ status }) => status),
    [503, 503, 503],
  )
  t.ok(asked <= answers.length)
})

t.test('a new refresh token is kept when the rest of the check fails', async (t) => {
  const provider = kinds.get('refresh token') as OpenidProvider
  const { browser } = await signedIn(provider, 'halfway')
  provider.replace((_request, response) => response.writeHead(503).end(), '/me')
  pass(limits.graceMs)
  t.equal((await browser.ask('GET', '/v1/self')).status, 503)
  provider.replace()
  t.equal((await browser.ask('GET', '/v1/self')).status, 200)
})

t.test('a session lasts five minutes where the provider cannot be asked again', async (t) => {
  const silent = await startProvider(t, without('userinfo'))
  registered.set(silent, await trustForConsole(world, silent, grants))
  const { browser } = await signedIn(silent, 'brief')
  const calls = silent.calls.length
  pass(limits.uncheckedMs - 1)
  t.equal((await browser.ask('GET', '/v1/self')).status, 200)
  t.equal(silent.calls.length, calls, 'it is not asked')
  pass(1)
  t.equal((await browser.ask('GET', '/v1/self')).status, 401)
})

t.test('nor does it last longer where a refresh says nothing about the groups', async (t) => {
  const terse = kinds.get('refresh token, no userinfo endpoint') as OpenidProvider
  const { browser, id } = await signedIn(terse, 'unknown')
  terse.replace((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ access_token: 'x', token_type: 'Bearer', refresh_token: 'y' }))
  })
  pass()
  t.equal((await browser.ask('GET', '/v1/self')).status, 200)
  const { rows } = await world.sql('select expires_at, provider_tokens from sessions where id = $1', [id])
  const expiresAt = new Date(world.clock.now.getTime() + limits.uncheckedMs)
  t.same(rows, [{ expires_at: expiresAt, provider_tokens: null }])
})

t.test('another user in place of the one who signed in ends the session', async (t) => {
  const provider = kinds.get('refresh token, no userinfo endpoint') as OpenidProvider
  const { browser, id } = await signedIn(provider, 'first')
  const { clientId } = registered.get(provider) as Registered
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: provider.issuer, aud: clientId, sub: 'second', iat: now, exp: now + 60 }
  const idToken = await provider.sign(claims)
  provider.replace((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ access_token: 'x', token_type: 'Bearer', id_token: idToken }))
  })
  pass()
  // The keys were fetched at the sign-in.
  t.equal((await browser.ask('GET', '/v1/self')).status, 401)
  t.match((await loggedAbout(id))[0], { changes: { after: { reason: 'provider_rejected' } } })
})

t.test('the tokens of a provider are never sent to another one', async (t) => {
  const provider = await startProvider(t, refreshing)
  const there = await trustForConsole(world, provider, grants)
  registered.set(provider, there)
  const { browser, id } = await signedIn(provider, 'betrayed')
  const evil = await startProvider(t)
  const url = `/v1/organizations/default/issuers/${there.id}`
  const body = {
    name: 'Evil',
    issuer: evil.issuer,
    audience: 'x',
    ...grants,
    client_id: there.clientId,
    client_secret: 'another',
  }
  t.equal((await world.ask('PUT', url, { body })).status, 200)
  pass()
  t.equal((await browser.ask('GET', '/v1/self')).status, 401)
  t.same(evil.calls, [])
  t.match((await loggedAbout(id))[0], { changes: { after: { reason: 'no_longer_valid' } } })
})

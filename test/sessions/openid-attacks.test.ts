// What somebody who controls links, another site, another issuer or another organization can try.
import { decodeJwt } from 'jose'
import t from 'tap'
import { browse } from '../issuers/browser.ts'
import { type OpenidProvider, startProvider } from '../issuers/provider.ts'
import { createTrustingWorld } from '../issuers/trust.ts'
import { type Answer, issuer as publicUrl } from '../support/world.ts'
import { Browser, failureIn, own, trustForConsole } from './openid.ts'

const world = await createTrustingWorld(t)
const provider = await startProvider(t)
const grants = { default_permissions: ['tokens:own'] }
const registered = await trustForConsole(world, provider, grants)
const { redirectUri } = registered

/** A person who has signed in at the issuer but not come back from it yet. */
async function atIssuer(subject = 'ada', browser = new Browser(world)) {
  const end = await browse(await browser.start(registered), subject, redirectUri)
  return { browser, end }
}

async function failsAs(failure: string, answer: Answer, browser: Browser, about: string) {
  t.equal(failureIn(answer), failure, about)
  t.equal(answer.headers.location, `/console/sign-in?error=${failure}`, about)
  t.equal((await browser.ask('GET', '/v1/self')).status, 401, `${about}: no session`)
}

function changed(url: URL, values: Record<string, string | undefined>): URL {
  const copy = new URL(url)
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) copy.searchParams.delete(name)
    else copy.searchParams.set(name, value)
  }
  return copy
}

t.test('login CSRF: a browser that did not start the sign-in does not finish it', async (t) => {
  const attacker = await atIssuer('mallory')
  const stranger = new Browser(world)
  await failsAs('expired', await stranger.comeBack(attacker.end), stranger, 'without a cookie')
  const victim = await atIssuer('ada')
  await failsAs('expired', await victim.browser.comeBack(attacker.end), victim.browser, 'with another state')
  t.equal(failureIn(await victim.browser.comeBack(victim.end)), null, 'the own sign-in still works')
  t.match(await victim.browser.ask('GET', '/v1/self'), { body: { subject: 'ada' } })
})

t.test('login CSRF: another site can neither start a sign-in nor sign out', async (t) => {
  const { browser, end } = await atIssuer()
  await browser.comeBack(end)
  for (const headers of [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://attacker.example' }, {}]) {
    const body = { issuer: registered.id, organization: 'default', return_to: '/' }
    for (const path of ['/console/sign-in/openid', '/console/sign-out']) {
      const answer = await browser.ask('POST', path, { body, headers: headers as Record<string, string> })
      t.match(answer, { status: 403, body: { code: 'cross_origin' } }, `${path} ${JSON.stringify(headers)}`)
      t.notOk(answer.headers['set-cookie'])
    }
  }
  t.equal((await browser.ask('GET', '/v1/self')).status, 200)
})

t.test('replay: a sign-in is finished once, also of two at the same time', async (t) => {
  const { browser, end } = await atIssuer()
  const copies = [browser.on(world), browser.on(world)]
  const answers = await Promise.all(copies.map((copy) => copy.comeBack(end)))
  const failures = answers.map(failureIn).filter((failure) => failure !== null)
  // The provider may revoke what it gave for a code that is used again (RFC 6749 §4.1.2), so perhaps none succeeds.
  t.ok(failures.length > 0 && failures.every((failure) => failure === 'failed'), failures.join())
  const later = browser.on(world)
  await failsAs('failed', await later.comeBack(end), later, 'later, with a copy of the cookie')
  await failsAs('expired', await later.comeBack(end), later, 'the browser has dropped the cookie')
  const again = new Browser(world)
  const state = (await again.start(registered)).searchParams.get('state') ?? ''
  await failsAs('failed', await again.comeBack(changed(end, { state })), again, 'the code with another state')
})

t.test('a response of the issuer that is not that of this sign-in is rejected', async () => {
  const answers: [failure: string, values: Record<string, string | undefined>][] = [
    ['expired', { state: undefined }],
    ['expired', { state: '' }],
    ['expired', { state: 'guessed' }],
    ['failed', { code: undefined }],
    ['failed', { code: 'guessed' }],
    ['failed', { iss: 'https://attacker.example' }],
    ['failed', { iss: undefined }],
    ['failed', { response: 'eyJ.eyJ.x' }],
  ]
  for (const [failure, values] of answers) {
    const { browser, end } = await atIssuer()
    await failsAs(failure, await browser.comeBack(changed(end, values)), browser, JSON.stringify(values))
  }
  const { browser, end } = await atIssuer()
  end.searchParams.append('state', end.searchParams.get('state') ?? '')
  await failsAs('failed', await browser.comeBack(end), browser, 'two states')
})

t.test('a sign-in has to be finished within ten minutes', async () => {
  const { browser, end } = await atIssuer()
  world.clock.advance(10 * 60_000)
  await failsAs('expired', await browser.comeBack(end), browser, 'late')
  world.clock.now = new Date()
})

t.test('an ID token that the issuer did not make for this sign-in is rejected', async (t) => {
  const { clientId } = registered
  const now = Math.floor(Date.now() / 1000)
  const good = { iss: provider.issuer, aud: clientId, sub: 'ada', iat: now, exp: now + 60 }
  const tokens: [name: string, claims: object, header?: Record<string, unknown>][] = [
    ['wrong nonce', { nonce: 'another' }],
    ['no nonce', { nonce: undefined }],
    ['for another client', { aud: 'another' }],
    ['of another issuer', { iss: 'https://login.example' }],
    ['expired', { exp: now - 600 }],
    ['without subject', { sub: undefined }],
    ['a security event', { events: {} }],
    ['bound to a key', { cnf: { jkt: 'x' } }],
    ['of another type', {}, { typ: 'logout+jwt' }],
  ]
  for (const [name, claims, header] of tokens) {
    const browser = new Browser(world)
    const start = await browser.start(registered)
    const nonce = start.searchParams.get('nonce')
    const end = await browse(start, 'ada', redirectUri)
    const idToken = await provider.sign({ ...good, nonce, ...claims }, header)
    answerTokens(provider, idToken)
    await failsAs(
      header || 'events' in claims || 'cnf' in claims ? 'rejected' : 'failed',
      await browser.comeBack(end),
      browser,
      name,
    )
    provider.replace()
  }
  const forged = await startProvider(t)
  const browser = new Browser(world)
  const start = await browser.start(registered)
  const end = await browse(start, 'ada', redirectUri)
  answerTokens(provider, await forged.sign({ ...good, nonce: start.searchParams.get('nonce') }))
  await failsAs('rejected', await browser.comeBack(end), browser, 'signed by another')
  provider.replace()
})

t.test('mix-up: a code of one issuer is never sent to another one', async (t) => {
  const evil = await startProvider(t)
  const there = await trustForConsole(world, evil, grants)
  t.not(there.redirectUri, redirectUri, 'each has its own redirect URI')
  // The other issuer forwards the browser to the honest one, with the state of the sign-in at itself.
  const browser = new Browser(world)
  const start = await browser.start(there)
  const honest = new URL(`${provider.issuer}/auth${start.search}`)
  honest.searchParams.set('client_id', registered.clientId)
  honest.searchParams.set('redirect_uri', redirectUri)
  const end = await browse(honest, 'ada', redirectUri)
  const calls = evil.calls.length
  await failsAs('expired', await browser.comeBack(end), browser, 'the redirect URI is not that of the state')
  t.equal(evil.calls.length, calls, 'the code does not leave')
})

t.test('fixation: a sign-in replaces the session, and adopts no value from outside', async (t) => {
  const planted = new Browser(world)
  planted.take((await world.ask('POST', '/v1/sessions')).headers)
  const copy = planted.on(world)
  const { end, browser } = await atIssuer('ada', planted)
  await browser.comeBack(end)
  t.match(await browser.ask('GET', '/v1/self'), { body: { subject: 'ada' } })
  t.equal((await copy.ask('GET', '/v1/self')).status, 401, 'the session before')
  t.not(copy.cookie, browser.cookie)
  const chosen = new Browser(world)
  chosen.take({ 'set-cookie': 'counterfoil-sign-in=cfo_000000000000000000000000000000000000' })
  await failsAs('expired', await chosen.comeBack(end), chosen, 'a cookie from outside')
})

t.test('open redirects: the end of a sign-in is always a page of the console', async (t) => {
  const start = (place: unknown) =>
    new Browser(world).ask('POST', '/console/sign-in/openid', {
      body: { issuer: registered.id, organization: 'default', return_to: place },
    })
  for (const place of [
    'https://attacker.example',
    'attacker.example',
    '@attacker.example',
    '.attacker.example',
    ':80/',
    'javascript:alert(1)',
    '',
    ' /',
    '/../../attacker',
    '/..//attacker.example',
    '/..\\\\attacker.example',
    '/%2e%2e//attacker.example',
    '/.%2E/%2e./docs',
    // It would not fit into a cookie.
    `/${'é'.repeat(1500)}`,
    7,
    null,
    ['/'],
  ])
    t.equal((await start(place)).status >= 400, true, JSON.stringify(place))
  for (const place of [
    '//attacker.example',
    '/\\attacker.example',
    '/@attacker.example',
    '/\t/attacker.example',
    '/\n',
    '/?next=//attacker.example',
    '/#x',
  ]) {
    const browser = new Browser(world)
    const end = await browse(await browser.start(registered, place), 'ada', redirectUri)
    const { location = '' } = (await browser.comeBack(end)).headers
    t.match(location, /^\/console\//, JSON.stringify(place))
    const { origin, pathname } = new URL(location, publicUrl)
    t.equal(origin, publicUrl, JSON.stringify(place))
    t.ok(pathname.startsWith('/console/'))
  }
})

t.test('what the issuer says in its errors becomes a plain word', async (t) => {
  const browser = new Browser(world)
  const end = await browse(await browser.start(registered), undefined, redirectUri)
  t.equal(end.searchParams.get('error'), 'access_denied')
  await failsAs('denied', await browser.comeBack(end), browser, 'cancelled')
  for (const [error, failure] of [
    ['temporarily_unavailable', 'unavailable'],
    ['server_error', 'unavailable'],
    ['invalid_scope', 'failed'],
    ['<script>alert(1)</script>', 'failed'],
  ] as const) {
    const other = new Browser(world)
    const url = await browse(await other.start(registered), undefined, redirectUri)
    const text = { error, error_description: 'Call +1 555 0100 now' }
    await failsAs(failure, await other.comeBack(changed(url, text)), other, error)
  }
})

t.test('an issuer that is down is reported, before and after its sign-in page', async (t) => {
  const failing = await startProvider(t)
  const there = await trustForConsole(world, failing, grants)
  const browser = new Browser(world)
  const end = await browse(await browser.start(there), 'ada', there.redirectUri)
  failing.replace((_request, response) => response.writeHead(503).end())
  t.equal(failureIn(await browser.comeBack(end)), 'unavailable', '503')
  failing.replace()
  const second = new Browser(world)
  const late = await browse(await second.start(there), 'ada', there.redirectUri)
  failing.replace((request) => request.destroy())
  t.equal(failureIn(await second.comeBack(late)), 'unavailable')

  const down = await startProvider(t)
  down.replace((request) => request.destroy())
  const { id } = await trustForConsole(world, down, grants)
  const body = { issuer: id, organization: 'default', return_to: '/' }
  const answer = await new Browser(world).ask('POST', '/console/sign-in/openid', { body })
  t.match(answer, { status: 503, body: { code: 'unavailable' } })
})

t.test('metadata cannot lead the browser to anything but a web page, nor us into our network', async (t) => {
  const world = await createTrustingWorld(t)
  for (const [name, url] of [
    ['authorization_endpoint', 'javascript:alert(1)'],
    ['authorization_endpoint', 'data:text/html,x'],
    ['authorization_endpoint', 7],
    ['authorization_endpoint', undefined],
    ['token_endpoint', 'https://169.254.169.254/latest'],
    ['token_endpoint', 'http://attacker.example/token'],
    ['userinfo_endpoint', 'file:///etc/passwd'],
    ['end_session_endpoint', 'javascript:alert(1)'],
  ] as const) {
    const liar = await startProvider(t)
    const real = await (await fetch(`${liar.issuer}/.well-known/openid-configuration`)).json()
    const { id } = await trustForConsole(world, liar, grants)
    liar.replace((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ ...(real as object), [name]: url }))
    })
    const body = { issuer: id, organization: 'default', return_to: '/' }
    const answer = await new Browser(world).ask('POST', '/console/sign-in/openid', { body })
    t.match(answer, { status: 503, body: { code: 'unavailable' } }, `${name}: ${url}`)
  }
})

t.test('an issuer of another organization cannot be used', async (t) => {
  await world.ask('POST', '/v1/organizations', { body: { key: 'acme', name: 'Acme' } })
  const theirs = await trustForConsole(world, provider, { organization: 'acme', ...grants })
  for (const organization of ['default', undefined, 'unknown']) {
    const body = { issuer: theirs.id, ...(organization && { organization }), return_to: '/' }
    const answer = await new Browser(world).ask('POST', '/console/sign-in/openid', { body })
    t.match(answer, { status: 404 }, String(organization))
  }
  const browser = new Browser(world)
  await browser.signIn(theirs, 'ada')
  t.match(await browser.ask('GET', '/v1/self'), { body: { organization: 'acme' } })
  t.equal((await browser.ask('GET', '/v1/organizations/default/tokens')).status, 404)
  const bearer = await world.ask('PUT', `/v1/organizations/acme/issuers/${theirs.id}`, {
    token: await world.manager(['policy:write', 'tokens:write'], 'default'),
    body: {},
  })
  t.ok(bearer.status >= 400)
})

t.test(
  'a user who may not be here is rejected, which the change log shows, but not without bounds',
  async (t) => {
    await world.ask('POST', '/v1/organizations', { body: { key: 'bounded', name: 'Bounded' } })
    const there = await trustForConsole(world, provider, { organization: 'bounded', ...grants })
    await world.ask('POST', '/v1/organizations/bounded/tokens', {
      body: { name: 'x', type: 'api', owner: { subject: 'barred' } },
    })
    await world.ask('POST', '/v1/organizations/bounded/owners/barred/suspend')
    for (let n = 0; n < 3; n++) {
      const browser = new Browser(world)
      await failsAs('rejected', await browser.signIn(there, 'barred'), browser, 'suspended')
    }
    const url = `/v1/organizations/bounded/audit-events?target=${there.id}&action=session.rejected`
    t.match((await world.ask('GET', url)).body.items[0], {
      actor: { type: 'user', id: 'barred', issuer: provider.issuer },
      target: { type: 'trusted_issuer', id: there.id },
      changes: { after: { reason: 'rejected' } },
    })
    for (let n = 0; n < 25; n++) {
      const browser = new Browser(world)
      const state = (await browser.start(there)).searchParams.get('state') ?? ''
      await browser.comeBack(new URL(`${there.redirectUri}?state=${state}&error=access_denied`))
    }
    const all = '/v1/organizations/bounded/audit-events?action=session.rejected&limit=100'
    const { items } = (await world.ask('GET', all)).body
    const denied = items.filter((one: { actor: { type: string } }) => one.actor.type === 'system')
    t.equal(denied.length, 20)
    await new Browser(world).signIn(there, 'barred')
    t.equal((await world.ask('GET', all)).body.items.length, items.length + 1, 'users still have their own')
  },
)

t.test('CONSOLE=false: none of it exists', async (t) => {
  const { databaseUrl, signing } = world
  const without = await createTrustingWorld(t, { databaseUrl, signing, console: false })
  for (const [method, url] of [
    ['GET', '/console/sign-in/issuers'],
    ['POST', '/console/sign-in/openid'],
    ['GET', `/console/sign-in/callback/${registered.id}`],
    ['POST', '/console/sign-out'],
  ] as const)
    t.equal((await without.ask(method, url, { token: '', headers: own })).status, 404, url)
})

/** Its token endpoint responds with this ID token, the rest is as before. */
function answerTokens(provider: OpenidProvider, idToken: string): void {
  t.ok(decodeJwt(idToken))
  provider.replace((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ access_token: 'x', token_type: 'Bearer', id_token: idToken }))
  })
}

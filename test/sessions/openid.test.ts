// Sign-in to the console at a real OpenID provider.
import t from 'tap'
import { createSignInLink, deleteEndedSessions, limits } from '../../src/sessions/sessions.ts'
import { Secret } from '../../src/shared/secret.ts'
import { browse } from '../issuers/browser.ts'
import { startProvider } from '../issuers/provider.ts'
import { createTrustingWorld } from '../issuers/trust.ts'
import { caep, listen, startTransmitter } from '../signals/transmitter.ts'
import { recordSecret } from '../support/records.ts'
import { Browser, failureIn, own, type Registered, trustForConsole } from './openid.ts'

const world = await createTrustingWorld(t)
const provider = await startProvider(t)
const everybody = { default_permissions: ['tokens:own'] }
const admins = { group: 'admins', permissions: ['tokens:read', 'tokens:write', 'audit:read'] }
const registered = await trustForConsole(world, provider, { ...everybody, group_permissions: [admins] })
const self = (browser: Browser) => browser.ask('GET', '/v1/self')

/** Someone who has signed in. */
async function signedIn(subject: string, account: object = {}): Promise<Browser> {
  provider.account(subject, account)
  const browser = new Browser(world)
  const answer = await browser.signIn(registered, subject)
  t.equal(failureIn(answer), null, subject)
  return browser
}

/** Changes these members of a registration. */
async function change({ id }: { id: string }, body: object): Promise<void> {
  const url = `/v1/organizations/default/issuers/${id}`
  const {
    id: _,
    created_at,
    updated_at,
    has_client_secret,
    redirect_uri,
    ...current
  } = (await world.ask('GET', url)).body
  const answer = await world.ask('PUT', url, { body: { ...current, ...body } })
  t.equal(answer.status, 200, answer.text)
}

async function loggedAbout(target: string) {
  const { body } = await world.ask('GET', `/v1/organizations/default/audit-events?target=${target}`)
  return body.items
}

/** Another instance on the same database. */
async function instance(options: object) {
  const { databaseUrl, signing } = world
  return createTrustingWorld(t, { databaseUrl, signing, ...options })
}

const withoutLogout = {
  features: { devInteractions: { enabled: true }, rpInitiatedLogout: { enabled: false } },
}

t.test('a user signs in, goes on where they were, and can do what their groups may', async (t) => {
  provider.account('ada', { email: 'ada@example.com', email_verified: true, groups: ['admins'] })
  const browser = new Browser(world)
  const place = '/organizations/default/tokens?search=night&type=api'
  const start = await browser.start(registered, place)
  t.match(Object.fromEntries(start.searchParams), {
    response_type: 'code',
    client_id: registered.clientId,
    redirect_uri: registered.redirectUri,
    scope: 'openid email groups',
    code_challenge_method: 'S256',
    code_challenge: /^[\w-]{43}$/,
    state: /^[\w-]{43}$/,
    nonce: /^[\w-]{43}$/,
  })
  const answer = await browser.comeBack(await browse(start, 'ada', registered.redirectUri))
  t.match(answer, { status: 303, headers: { location: `/console${place}`, 'cache-control': 'no-store' } })
  const permissions = ['tokens:own', 'tokens:read', 'tokens:write', 'audit:read']
  const me = await self(browser)
  t.match(me, { status: 200, body: { subject: 'ada', email: 'ada@example.com', organization: 'default' } })
  t.same(
    me.body.permissions.toSorted(),
    permissions.toSorted(),
    'the same as with a bearer token of the issuer',
  )
  const made = await browser.ask('POST', '/v1/organizations/default/tokens', {
    body: { name: 'x', type: 'api' },
  })
  t.equal(made.status, 201)
  t.match(await loggedAbout(made.body.id), [
    { actor: { type: 'user', id: 'ada', name: 'ada@example.com', issuer: provider.issuer } },
  ])
})

t.test(
  'an issuer whose ID token has no e-mail and groups is asked for them at its userinfo endpoint',
  async (t) => {
    const strict = await startProvider(t, { conformIdTokenClaims: true })
    const there = await trustForConsole(world, strict, { group_permissions: [admins] })
    strict.account('grace', { email: 'grace@example.com', email_verified: true, groups: ['admins'] })
    const browser = new Browser(world)
    t.equal(failureIn(await browser.signIn(there, 'grace')), null)
    t.match(await self(browser), { body: { email: 'grace@example.com', permissions: /tokens:write/ } })
  },
)

t.test('an issuer of the platform signs its users in to the organization that it names', async (t) => {
  const there = await trustForConsole(world, provider, {
    organization: 'platform',
    claims: { organization: 'tenant' },
    ...everybody,
  })
  for (const [tenant, failure] of [
    ['default', null],
    ['platform', 'rejected'],
    ['unknown', 'rejected'],
    [undefined, 'rejected'],
  ] as const) {
    provider.account('member', { ...(tenant && { tenant }) })
    const browser = new Browser(world)
    t.equal(failureIn(await browser.signIn(there, 'member')), failure, String(tenant))
    const me = await self(browser)
    if (failure === null) t.match(me.body, { subject: 'member', organization: 'default' })
    else t.equal(me.status, 401)
  }
  await world.ask('DELETE', `/v1/organizations/platform/issuers/${there.id}`)
})

t.test('a public client signs in with PKCE alone', async (t) => {
  const other = await startProvider(t)
  const { id, redirectUri } = await trustForConsole(world, other)
  const clientId = other.register({ redirectUri })
  const body = { name: 'Public', issuer: other.issuer, audience: 'a', client_id: clientId }
  const url = `/v1/organizations/default/issuers/${id}`
  t.match(await world.ask('PUT', url, { body }), {
    status: 422,
    body: { errors: [{ field: 'client_secret' }] },
  })
  await world.ask('PUT', url, { body: { ...body, client_id: null } })
  t.match(await world.ask('PUT', url, { body }), { body: { client_id: clientId, has_client_secret: false } })
  const browser = new Browser(world)
  t.equal(failureIn(await browser.signIn({ id, redirectUri, clientId }, 'ada')), null)
  t.equal((await self(browser)).status, 200)
})

t.test('what the mapping of the issuer grants changes with the next request', async (t) => {
  const browser = await signedIn('mapped', { groups: ['staff'] })
  t.same((await self(browser)).body.permissions, ['tokens:own'])
  await change(registered, { group_permissions: [admins, { group: 'staff', permissions: ['policy:read'] }] })
  t.same((await self(browser)).body.permissions.toSorted(), ['policy:read', 'tokens:own'])
  await change(registered, { group_permissions: [admins], default_permissions: [] })
  t.same((await self(browser)).body.permissions, [])
  await change(registered, { ...everybody, group_permissions: [admins] })
})

t.test(
  'a session ends with the next request, and for good, when its user could not sign in any more',
  async (t) => {
    const organization = '/v1/organizations/default'
    const ends: [
      name: string,
      end: (there: Registered) => Promise<unknown>,
      undo?: () => Promise<unknown>,
    ][] = [
      [
        'their owner is suspended',
        () => world.ask('POST', `${organization}/owners/leaver/suspend`),
        () => world.ask('POST', `${organization}/owners/leaver/resume`),
      ],
      [
        'their organization is suspended',
        () => world.ask('POST', `${organization}/suspend`),
        () => world.ask('POST', `${organization}/resume`),
      ],
      ['their issuer is deleted', ({ id }) => world.ask('DELETE', `${organization}/issuers/${id}`)],
      ['their issuer is not for people any more', (there) => change(there, { client_id: null })],
      [
        'their issuer is replaced by another one',
        (there) => change(there, { issuer: 'https://login.example', client_secret: 'another' }),
      ],
      [
        'their issuer has another client',
        (there) => change(there, { client_id: 'x', client_secret: 'another' }),
      ],
      [
        'their subject is in another claim',
        (there) => change(there, { claims: { subject: 'oid', organization: null } }),
      ],
    ]
    for (const [name, end, undo] of ends) {
      const there = await trustForConsole(world, provider, everybody)
      const browser = new Browser(world)
      await browser.signIn(there, 'leaver')
      t.equal((await self(browser)).status, 200, name)
      await browser.ask('POST', `${organization}/tokens`, { body: { name: 'x', type: 'api' } })
      await end(there)
      t.match(await self(browser), { status: 401, body: { code: 'unauthenticated' } }, name)
      await undo?.()
      t.equal((await self(browser)).status, 401, `${name}: and stays ended`)
    }
  },
)

t.test('a security event about a user ends their sessions, so that they get what holds now', async (t) => {
  const transmitter = await startTransmitter(t, () => world.clock.now)
  const { id, push } = await listen(world, transmitter)
  const open = async (subject: string, account: object) => {
    const browser = await signedIn(subject, account)
    await world.sql('update sessions set issuer_id = $1 where subject = $2', [id, subject])
    return browser
  }
  const subject = { format: 'iss_sub', iss: transmitter.issuer, sub: 'moved' }
  const email = { format: 'email', email: 'Renamed@example.com' }
  const found = { email: 'renamed@example.com', email_verified: true }
  await Promise.all([open('moved', {}), open('renamed', found), open('another', {})])
  const subjects = async () =>
    (await world.sql('select subject from sessions where issuer_id = $1 order by 1', [id])).rows
  const { rows: moved } = await world.sql(`select id from sessions where subject = 'moved'`)
  t.same(await subjects(), [{ subject: 'another' }, { subject: 'moved' }, { subject: 'renamed' }])
  for (const [type, about] of [
    [`${caep}token-claims-change`, subject],
    [`${caep}session-revoked`, email],
  ] as const)
    t.equal((await push(await transmitter.event(type, about))).status, 202)
  t.same(await subjects(), [{ subject: 'another' }])
  t.match((await loggedAbout(moved[0].id))[0], { changes: { after: { reason: 'signalled' } } })
})

t.test('sessions of users are listed and ended like those of tokens', async (t) => {
  await world.sql('delete from sessions')
  const browser = await signedIn('lister')
  await signedIn('somebody')
  const listed = (await browser.ask('GET', '/v1/sessions')).body.items
  t.match(listed, [{ principal: { type: 'user', id: 'lister', name: 'lister' }, current: true }])
  t.equal(listed.length, 1, 'only their own')
  const all = (await world.ask('GET', '/v1/sessions')).body.items
  t.same(all.map((one: { principal: { id: string } }) => one.principal.id).toSorted(), ['lister', 'somebody'])
  const other = all.find((one: { principal: { id: string } }) => one.principal.id === 'somebody')
  t.equal((await browser.ask('DELETE', `/v1/sessions/${other.id}`)).status, 404)
  t.equal((await browser.ask('DELETE', `/v1/sessions/${listed[0].id}`)).status, 204)
  t.equal((await self(browser)).status, 401)
  t.equal((await browser.ask('POST', '/v1/sessions')).status, 401)
})

t.test('only hashes and what the mapping needs are stored', async (t) => {
  await world.sql('delete from sessions')
  provider.account('kept', { email: 'kept@example.com', groups: ['staff'], tenant: 'not mapped' })
  const browser = new Browser(world)
  await browser.signIn(registered, 'kept')
  const { rows } = await world.sql('select claims, id_token, provider_tokens from sessions')
  t.strictSame(Object.keys(rows[0].claims).toSorted(), ['aud', 'email', 'groups', 'iss', 'sub'])
  const encrypted = /^[\w-]+\.\.[\w-]+\.[\w-]+\.[\w-]+$/
  t.match(rows[0], { id_token: encrypted, provider_tokens: encrypted })
})

t.test('signing out ends the session, and leads to the sign-out of the issuer', async (t) => {
  const browser = await signedIn('leaving')
  const { id } = (await browser.ask('GET', '/v1/sessions')).body.items[0]
  const { cookie } = browser
  const answer = await browser.ask('POST', '/console/sign-out')
  t.equal(answer.status, 200)
  t.match(answer.headers['set-cookie'], /^counterfoil=; Max-Age=0/)
  const location = new URL(answer.body.location)
  recordSecret(location.searchParams.get('id_token_hint') ?? '')
  t.match(Object.fromEntries(location.searchParams), {
    client_id: registered.clientId,
    post_logout_redirect_uri: 'http://counterfoil.test/console/',
    id_token_hint: /^eyJ/,
  })
  const page = await fetch(location)
  t.match(await page.text(), /session\/end\/confirm/, 'the provider accepts the request')
  t.equal((await world.ask('GET', '/v1/self', { token: '', headers: { cookie } })).status, 401)
  t.match(await loggedAbout(id), [
    {
      action: 'session.ended',
      actor: { type: 'user', id: 'leaving' },
      changes: { after: { reason: 'signed_out' } },
    },
    {
      action: 'session.created',
      actor: { type: 'user', id: 'leaving' },
      changes: { after: { sign_in: 'openid' } },
    },
  ])
})

t.test('an issuer without a page for it, or that is down, is left alone', async (t) => {
  const token = new Browser(world)
  await world.ask('POST', '/v1/sessions').then(({ headers }) => token.take(headers))
  t.match(await token.ask('POST', '/console/sign-out'), { status: 200, body: { location: null } })
  t.match(await token.ask('POST', '/console/sign-out'), { status: 200, body: { location: null } }, 'again')
  const simple = await startProvider(t, { ...withoutLogout })
  const there = await trustForConsole(world, simple, everybody)
  const browser = new Browser(world)
  await browser.signIn(there, 'ada')
  t.match(await browser.ask('POST', '/console/sign-out'), { status: 200, body: { location: null } })
  t.equal(browser.cookie, '')

  const stopped = await startProvider(t)
  const here = await trustForConsole(world, stopped, everybody)
  const left = new Browser(world)
  await left.signIn(here, 'ada')
  stopped.replace((_request, response) => response.writeHead(503).end())
  const another = await instance({})
  t.match(await left.on(another).ask('POST', '/console/sign-out'), { status: 200, body: { location: null } })
  t.equal((await self(left)).status, 401)
})

t.test('another instance finishes what one has started', async (t) => {
  const browser = new Browser(world)
  const end = await browse(await browser.start(registered), 'roaming', registered.redirectUri)
  const other = browser.on(await instance({}))
  t.equal(failureIn(await other.comeBack(end)), null)
  t.match(await self(other), { status: 200, body: { subject: 'roaming' } })
})

t.test('behind a proxy that adds a prefix, over HTTPS', async (t) => {
  const prefix = 'https://tokens.example/prefix'
  const there = await instance({ issuer: prefix })
  const { id } = await trustForConsole(world, provider, everybody)
  const url = `/v1/organizations/default/issuers/${id}`
  const { redirect_uri: redirectUri } = (await there.ask('GET', url, { token: world.admin })).body
  t.equal(redirectUri, `${prefix}/console/sign-in/callback/${id}`)
  await change({ id }, { client_id: null })
  const clientId = provider.register({ redirectUri })
  await change({ id }, { client_id: clientId })
  const browser = new Browser(there)
  const start = await browser.start({ id, redirectUri, clientId }, '/organizations/default/log')
  t.match(browser.cookie, /^__Host-counterfoil-sign-in=/)
  const end = await browse(start, 'ada', redirectUri)
  const answer = await browser.comeBack(new URL(end.href.replace(prefix, 'https://tokens.example')))
  t.equal(answer.headers.location, '/prefix/console/organizations/default/log')
  t.match(browser.cookie, /^__Host-counterfoil=/)
  t.equal((await self(browser)).status, 200)
})

t.test(
  'the sign-in screen lists the issuers of the platform, and those of an organization that is named',
  async (t) => {
    const list = async (query = '') => {
      const { body } = await world.ask('GET', `/console/sign-in/issuers${query}`, { token: '' })
      return {
        names: body.items.map(({ name }: { name: string }) => name),
        byOrganization: body.by_organization,
      }
    }
    const users = { claims: { organization: null } }
    await trustForConsole(world, provider, { organization: 'platform', name: 'Operators', ...users })
    await world.ask('POST', '/v1/organizations', { body: { key: 'acme', name: 'Acme' } })
    await trustForConsole(world, provider, { organization: 'acme', name: 'Acme sign-in' })
    t.same(await list(), { names: ['Operators'], byOrganization: true })
    t.same((await list('?organization=ACME')).names, ['Acme sign-in', 'Operators'])
    t.same((await list('?organization=unknown')).names, ['Operators'], 'as without issuers')
    t.same((await list('?organization=%00')).names, ['Operators'])
    await world.ask('POST', '/v1/organizations/acme/suspend')
    t.same((await list('?organization=acme')).names, ['Operators'], 'as if it had none')
  },
)

t.test('the change log says how each session began and why it ended', async (t) => {
  const organization = '/v1/organizations/default'
  const manager = await world.issue({ name: 'Manager', type: 'management', scopes: ['tokens:read'] })
  const begin = {
    async token() {
      const browser = new Browser(world)
      browser.take((await world.ask('POST', '/v1/sessions', { token: manager.secret })).headers)
      return browser
    },
    async link() {
      const browser = new Browser(world)
      const code = await createSignInLink(world.db, new Secret(manager.secret).hash(), world.clock.now)
      recordSecret(code.reveal())
      await browser.ask('POST', '/console/sign-in/link', { body: { code: code.reveal() } })
      return browser
    },
    openid: () => signedIn('logged'),
  }
  type End = (browser: Browser, id: string) => Promise<unknown>
  const ends: [reason: string, by: string, end: End][] = [
    ['signed_out', 'self', (browser) => browser.ask('POST', '/console/sign-out')],
    ['ended', 'token', (_browser, id) => world.ask('DELETE', `/v1/sessions/${id}`)],
    [
      'replaced',
      'token',
      async ({ cookie }) => world.ask('POST', '/v1/sessions', { headers: { cookie, ...own } }),
    ],
    [
      'no_longer_valid',
      'system',
      async (browser) => {
        await world.ask('POST', `${organization}/suspend`)
        await self(browser)
        await world.ask('POST', `${organization}/resume`)
      },
    ],
    [
      'expired',
      'system',
      async () => {
        world.clock.advance(limits.absoluteMs)
        await deleteEndedSessions(world.db, world.clock.now)
        world.clock.now = new Date()
      },
    ],
  ]
  for (const [how, open] of Object.entries(begin)) {
    for (const [reason, by, end] of ends) {
      const browser = await open()
      const { items } = (await browser.ask('GET', '/v1/sessions')).body
      const { id, principal } = items.find((one: { current: boolean }) => one.current)
      await end(browser, id)
      t.match(
        await loggedAbout(id),
        [
          {
            action: 'session.ended',
            actor: { type: by === 'self' ? principal.type : by },
            changes: { before: {}, after: { reason } },
          },
          {
            action: 'session.created',
            actor: principal,
            target: { type: 'session', id },
            changes: { before: {}, after: { sign_in: how } },
          },
        ],
        `${how}, ${reason}`,
      )
    }
  }
})

import t from 'tap'
import { createSignInLink, limits } from '../../src/sessions/sessions.ts'
import { Secret } from '../../src/shared/secret.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld, issuer, type World } from '../support/world.ts'

const minute = 60_000
const world = await createWorld(t)
const own = { 'sec-fetch-site': 'same-origin' }

/** The cookie of a response, as a browser sends it back. */
function cookieOf({ headers }: { headers: Record<string, unknown> }): string {
  const [cookie = ''] = String(headers['set-cookie'] ?? '').split(';')
  recordSecret(cookie.slice(cookie.indexOf('=') + 1))
  return cookie
}

async function open(token = world.admin, headers: Record<string, string> = {}, from: World = world) {
  const answer = await from.ask('POST', '/v1/sessions', { token, headers })
  return { answer, cookie: cookieOf(answer), id: answer.body?.id as string }
}

/** A request of a browser with a session. */
function by(cookie: string, method: string, url: string, more: { headers?: object; body?: unknown } = {}) {
  return world.ask(method, url, { token: '', body: more.body, headers: { cookie, ...own, ...more.headers } })
}

t.test('a session acts as its token, with its permissions and no others', async (t) => {
  const reader = await world.manager(['tokens:read'])
  const { answer, cookie } = await open(reader)
  t.match(answer, { status: 201, body: { current: true, principal: { type: 'token' } } })
  t.equal(answer.headers.location, `/v1/sessions/${answer.body.id}`)
  const { body: self } = await world.ask('GET', '/v1/self', { token: reader })
  t.match(await by(cookie, 'GET', '/v1/self'), { status: 200, body: { id: self.id } })
  t.equal((await by(cookie, 'GET', '/v1/organizations/default/tokens')).status, 200)
  const refused = await by(cookie, 'POST', '/v1/organizations/default/tokens', {
    body: { name: 'x', type: 'api' },
  })
  t.match(refused, { status: 403, body: { code: 'insufficient_scope' } })
})

t.test('changes by a session are logged as changes by its token', async (t) => {
  const token = await world.manager(['tokens:write', 'audit:read'])
  const { cookie } = await open(token)
  const made = await by(cookie, 'POST', '/v1/organizations/default/tokens', {
    body: { name: 'By session', type: 'api' },
  })
  t.equal(made.status, 201)
  const { body: self } = await world.ask('GET', '/v1/self', { token })
  const { body } = await by(cookie, 'GET', `/v1/organizations/default/audit-events?target=${made.body.id}`)
  t.match(body.items, [{ action: 'token.created', actor: { type: 'token', id: self.id } }])
})

t.test('only a hash of the session is stored', async (t) => {
  const { cookie } = await open()
  const secret = cookie.split('=')[1] ?? ''
  const { rows } = await world.sql('select to_jsonb(sessions)::text as row from sessions')
  t.ok(rows.length > 0)
  for (const { row } of rows) t.notOk(row.includes(secret))
})

t.test('the cookie is out of reach of scripts and of other hosts', async (t) => {
  const { answer } = await open()
  t.match(answer.headers['set-cookie'], /^counterfoil=cfs_\w+; Path=\/; HttpOnly; SameSite=Lax$/, issuer)
  const secure = await createWorld(t, {
    issuer: 'https://tokens.example',
    databaseUrl: world.databaseUrl,
    signing: world.signing,
  })
  const { answer: overTls } = await open(world.admin, {}, secure)
  t.match(
    overTls.headers['set-cookie'],
    /^__Host-counterfoil=cfs_\w+; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
  )
})

t.test('a session ends with its token', async (t) => {
  const ends: [name: string, end: (id: string) => Promise<unknown>][] = [
    ['revoked', (id) => world.ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)],
    ['deleted', (id) => world.ask('DELETE', `/v1/organizations/default/tokens/${id}`)],
    [
      'rotated',
      (id) =>
        world.ask('POST', `/v1/organizations/default/tokens/${id}/rotate`, { body: { overlap_seconds: 0 } }),
    ],
    ['expired', (id) => world.sql('update tokens set expires_at = $2 where id = $1', [id, world.clock.now])],
  ]
  for (const [name, end] of ends) {
    const token = await world.issue({ name: `Session ${name}`, type: 'management', scopes: ['tokens:read'] })
    const { cookie } = await open(token.secret)
    t.equal((await by(cookie, 'GET', '/v1/self')).status, 200, name)
    await end(token.id)
    t.match(await by(cookie, 'GET', '/v1/self'), { status: 401, body: { code: 'unauthenticated' } }, name)
  }
})

t.test(
  'a session whose organization is suspended ends, and does not come back when it is resumed',
  async (t) => {
    await world.ask('POST', '/v1/organizations', { body: { key: 'paused', name: 'Paused' } })
    const { cookie } = await open(await world.manager(['tokens:read'], 'paused'))
    await world.ask('POST', '/v1/organizations/paused/suspend')
    t.equal((await by(cookie, 'GET', '/v1/self')).status, 401)
    await world.ask('POST', '/v1/organizations/paused/resume')
    t.equal((await by(cookie, 'GET', '/v1/self')).status, 401)
  },
)

t.test('a session is bound to the networks of its token', async (t) => {
  const elsewhere = await world.issue({
    name: 'Elsewhere',
    type: 'management',
    scopes: ['tokens:read'],
    allowed_cidrs: ['127.0.0.1'],
  })
  const { cookie } = await open(elsewhere.secret)
  const answer = await world.app.inject({ url: '/v1/self', headers: { cookie }, remoteAddress: '192.0.2.1' })
  t.equal(answer.statusCode, 401)
})

t.test('a session ends when it is not used, and at the latest after its absolute limit', async (t) => {
  const idle = await open()
  world.clock.advance(limits.idleMs - minute)
  t.equal((await by(idle.cookie, 'GET', '/v1/self')).status, 200, 'still open')
  world.clock.advance(limits.idleMs - minute)
  t.equal((await by(idle.cookie, 'GET', '/v1/self')).status, 200, 'each request extends it')
  world.clock.advance(limits.idleMs)
  t.equal((await by(idle.cookie, 'GET', '/v1/self')).status, 401, 'idle')

  const busy = await open()
  const start = world.clock.now.getTime()
  while (world.clock.now.getTime() - start < limits.absoluteMs - limits.idleMs) {
    world.clock.advance(limits.idleMs / 2)
    t.equal((await by(busy.cookie, 'GET', '/v1/self')).status, 200)
  }
  world.clock.advance(limits.idleMs / 2)
  await by(busy.cookie, 'GET', '/v1/self')
  world.clock.advance(limits.idleMs / 2)
  t.equal((await by(busy.cookie, 'GET', '/v1/self')).status, 401, 'absolute')
})

t.test('fixation: a sign-in replaces the session that the browser had', async (t) => {
  const planted = await open(await world.manager(['tokens:read']))
  const { cookie } = await open(world.admin, { cookie: planted.cookie })
  t.not(cookie, planted.cookie)
  t.equal((await by(planted.cookie, 'GET', '/v1/self')).status, 401)
  t.equal((await by(cookie, 'GET', '/v1/self')).status, 200)
  const made = await open(world.admin, { cookie: 'counterfoil=cfs_000000000000000000000000000000000000' })
  t.notMatch(made.cookie, /cfs_0000/, 'a value from outside is never adopted')
})

t.test('a session cannot open another one, which would outlast it', async (t) => {
  const { cookie } = await open()
  const answer = await by(cookie, 'POST', '/v1/sessions')
  t.match(answer, { status: 403, body: { code: 'insufficient_scope' } })
  t.notOk(answer.headers['set-cookie'])
})

t.test('a credential in Authorization wins over the cookie', async (t) => {
  const { cookie } = await open()
  const reader = await world.manager(['tokens:read'])
  const made = await world.ask('POST', '/v1/organizations/default/tokens', {
    token: reader,
    headers: { cookie },
    body: { name: 'x', type: 'api' },
  })
  t.equal(made.status, 403)
  t.equal((await world.ask('GET', '/v1/self', { token: 'garbage', headers: { cookie } })).status, 401)
})

t.test('a request that changes something must come from a page of this origin', async (t) => {
  const { cookie } = await open()
  const body = { name: 'Cross', type: 'api' }
  const from = (headers: Record<string, string>) =>
    world.ask('POST', '/v1/organizations/default/tokens', {
      token: '',
      headers: { cookie, ...headers },
      body,
    })
  const origins: [headers: Record<string, string>, status: number][] = [
    [{ 'sec-fetch-site': 'same-origin' }, 201],
    [{ origin: issuer }, 201],
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
    [{ 'sec-fetch-site': 'none' }, 403],
    [{ 'sec-fetch-site': 'cross-site', origin: issuer }, 403],
    [{ origin: 'https://attacker.example' }, 403],
    [{ origin: `${issuer}.attacker.example` }, 403],
    [{ origin: 'null' }, 403],
    [{}, 403],
  ]
  for (const [headers, status] of origins) {
    const answer = await from(headers)
    t.equal(answer.status, status, JSON.stringify(headers))
    if (status === 403) t.equal(answer.body.code, 'cross_origin')
  }
  for (const [method, url] of [
    ['PATCH', '/v1/organizations/default/policy'],
    ['DELETE', '/v1/organizations/default/tokens/019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'],
    ['PUT', '/v1/organizations/default/policy'],
  ] as const) {
    const answer = await by(cookie, method, url, { headers: { 'sec-fetch-site': 'cross-site' }, body: {} })
    t.match(answer, { status: 403, body: { code: 'cross_origin' } }, method)
  }
})

t.test('a session authenticates nothing but /v1', async (t) => {
  const { cookie } = await open()
  for (const url of ['/introspect', '/revoke'])
    t.equal(
      (await world.ask('POST', url, { token: '', headers: { cookie, ...own }, form: { token: 'x' } })).status,
      401,
      url,
    )
  t.equal((await world.ask('GET', '/verify', { token: '', headers: { cookie } })).status, 401)
})

t.test('signing out ends the session and clears its cookie', async (t) => {
  const { cookie, id } = await open()
  const answer = await by(cookie, 'DELETE', `/v1/sessions/${id}`)
  t.equal(answer.status, 204)
  t.match(answer.headers['set-cookie'], /^counterfoil=; Max-Age=0; Path=\//)
  t.equal((await by(cookie, 'GET', '/v1/self')).status, 401)
})

t.test('sessions are listed and ended by their callers, and by those who may manage tokens', async (t) => {
  await world.sql('delete from sessions')
  await world.ask('POST', '/v1/organizations', { body: { key: 'neighbour', name: 'Neighbour' } })
  const [reader, writer, introspecting, foreign] = [
    await world.manager(['tokens:read']),
    await world.manager(['tokens:write']),
    await world.manager(['tokens:introspect']),
    await world.manager(['tokens:read', 'tokens:write'], 'neighbour'),
  ]
  const own = await open(introspecting)
  const other = await open(reader)
  const platform = await open()
  const listed = async (token: string) =>
    (await world.ask('GET', '/v1/sessions', { token })).body.items.map(({ id }: { id: string }) => id)
  t.same(await listed(introspecting), [own.id], 'only their own')
  t.same(await listed(reader), [other.id, own.id], 'with tokens:read those of the organization')
  t.same(await listed(foreign), [])
  t.same(await listed(world.admin), [platform.id, other.id, own.id])

  const end = (token: string, id: string) => world.ask('DELETE', `/v1/sessions/${id}`, { token })
  for (const token of [introspecting, foreign]) t.equal((await end(token, other.id)).status, 404)
  t.equal((await end(writer, platform.id)).status, 404, 'the platform is out of reach')
  t.equal((await end(writer, other.id)).status, 204)
  t.equal((await end(introspecting, own.id)).status, 204, 'their own')
  t.same(await listed(world.admin), [platform.id])
})

t.test('the list of sessions is paged, newest first', async (t) => {
  await world.sql('delete from sessions')
  const opened: string[] = []
  for (let n = 0; n < 5; n++) {
    opened.unshift((await open()).id)
    if (n % 2) world.clock.advance(1)
  }
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const url: string = `/v1/sessions?limit=2${cursor ? `&cursor=${cursor}` : ''}`
    const { body } = await world.ask('GET', url)
    seen.push(...body.items.map(({ id }: { id: string }) => id))
    cursor = body.next_cursor
  } while (cursor)
  t.same(seen, opened)
})

t.test('a one-time link signs in once, within ten minutes, from a page of this origin', async (t) => {
  const use = async (code: string, headers: Record<string, string> = own) =>
    world.ask('POST', '/console/sign-in/link', { token: '', headers, body: { code } })
  const create = async () => {
    const code = (await createSignInLink(world.db, new Secret(world.admin).hash(), world.clock.now)).reveal()
    recordSecret(code)
    return code
  }
  const code = await create()
  const crossed = await use(code, { 'sec-fetch-site': 'cross-site' })
  t.match(crossed, { status: 403, body: { code: 'cross_origin' } }, 'login CSRF')
  t.notOk(crossed.headers['set-cookie'])
  const [first, second] = await Promise.all([use(code), use(code)])
  t.same([first.status, second.status].sort(), [201, 401], 'of two at the same time one works')
  const good = first.status === 201 ? first : second
  t.match(await by(cookieOf(good), 'GET', '/v1/self'), { status: 200, body: { organization: 'platform' } })
  t.equal((await use(code)).status, 401, 'a replay does not')
  t.equal((await use('cfl_unknown')).status, 401)

  const late = await create()
  world.clock.advance(10 * minute)
  t.equal((await use(late)).status, 401, 'ten minutes later it does not')
  t.equal((await use(late)).status, 401, 'nor later')
  const { rows } = await world.sql('select count(*)::int as links from sign_in_links')
  t.same(rows, [{ links: 0 }])
})

t.test('the link is not used by what only requests its URL', async (t) => {
  const code = await createSignInLink(world.db, new Secret(world.admin).hash(), world.clock.now)
  recordSecret(code.reveal())
  await world.ask('GET', '/console/', { token: '' })
  await world.ask('GET', '/console/sign-in/link', { token: '' })
  const { rows } = await world.sql('select count(*)::int as links from sign_in_links')
  t.same(rows, [{ links: 1 }])
})

t.test('CONSOLE=false: no console, no sessions, and cookies mean nothing', async (t) => {
  const { cookie } = await open()
  const without = await createWorld(t, {
    console: false,
    databaseUrl: world.databaseUrl,
    signing: world.signing,
  })
  t.match((await without.ask('GET', '/', { token: '' })).headers.location, 'docs/')
  for (const [method, url] of [
    ['GET', '/console/'],
    ['POST', '/console/sign-in/link'],
    ['GET', '/v1/sessions'],
    ['POST', '/v1/sessions'],
  ] as const)
    t.equal((await without.ask(method, url, { token: world.admin })).status, 404, url)
  t.equal((await without.ask('GET', '/v1/self', { token: '', headers: { cookie, ...own } })).status, 401)
})

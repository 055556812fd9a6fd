import { randomBytes } from 'node:crypto'
import t from 'tap'
import { Secret } from '../../src/shared/secret.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld, day } from '../support/world.ts'

const text = randomBytes(24).toString('base64url')
recordSecret(text)
const staticSecret = { secret: new Secret(text), organization: 'on-premises' }
const world = await createWorld(t, { staticSecret })
const { ask, issue, introspect } = world
const tokens = '/v1/organizations/on-premises/tokens'
const list = async (query = '') =>
  (await ask('GET', `${tokens}${query}`)).body.items.map((item: any) => item.name)

t.test('for a nonexistent organization it is inactive', async (t) => {
  t.same(await introspect(text), { active: false })
  t.equal((await ask('GET', '/v1/self', { token: text })).status, 401)
})

t.test('once the organization is created, it introspects as an active SCIM token', async (t) => {
  await ask('POST', '/v1/organizations', { body: { key: 'on-premises', name: 'On premises' } })
  world.clock.advance(1000)
  const endpoint = 'https://host.example/{organization}/scim'
  const change = { default_scopes: ['users'], audience: ['https://host.example'], endpoint }
  await ask('PATCH', '/v1/token-types/scim', { body: change })
  const { client_id, ...answer } = await introspect(text)
  t.same(answer, {
    active: true,
    scope: 'users',
    token_type: 'Bearer',
    iat: Math.floor(world.clock.now.getTime() / 1000) - 1,
    sub: client_id,
    aud: ['https://host.example'],
    iss: 'http://counterfoil.test',
    jti: client_id,
    organization: 'on-premises',
    type: 'scim',
    token_name: 'environment',
    endpoint: 'https://host.example/on-premises/scim',
  })
  t.equal((await introspect(text)).client_id, client_id, 'its id is always the same')
})

t.test('any other text is inactive', async (t) => {
  for (const other of [text.slice(0, -1), `${text}x`, text.toUpperCase(), ` ${text}`])
    t.same(await introspect(other), { active: false })
})

t.test('resource servers of other organizations do not see it', async (t) => {
  const mine = await world.manager(['tokens:introspect'], 'on-premises')
  const other = await world.manager(['tokens:introspect'], 'default')
  t.match(await introspect(text, mine), { active: true })
  t.same(await introspect(text, other), { active: false })
})

t.test('it is listed among the tokens of its organization only, as read-only', async (t) => {
  const { body } = await ask('GET', `${tokens}?type=scim`)
  t.match(body.items, [
    { name: 'environment', type: 'scim', status: 'active', read_only: true, expires_at: null, owner: null },
  ])
  const { id } = body.items[0]
  t.equal(id, (await introspect(text)).client_id)
  t.same((await ask('GET', `${tokens}/${id}`)).body, body.items[0])
  t.same((await ask('GET', '/v1/self', { token: text })).body, body.items[0])
  t.notOk(JSON.stringify(body).includes(text.slice(-4)), 'not even the end of it is shown')
  t.same((await ask('GET', '/v1/organizations/default/tokens?type=scim')).body.items, [])
  t.equal((await ask('GET', `/v1/organizations/default/tokens/${id}`)).status, 404)
})

t.test('it is at the right position in every order, on one page only', async (t) => {
  for (const name of ['alpha', 'Mike', 'zulu']) await issue({ name }, 'on-premises')
  const named = ['alpha', 'environment', 'Mike', 'zulu']
  t.same(
    (await list('?sort=name')).filter((name: string) => named.includes(name)),
    named,
  )
  t.equal((await list('?sort=created_at'))[0], 'environment')
  for (const sort of ['created_at', 'name', 'expires_at', 'last_used_at'].flatMap((sort) => [
    sort,
    `-${sort}`,
  ])) {
    const all = await list(`?sort=${sort}`)
    t.equal(all.filter((name: string) => name === 'environment').length, 1, sort)
    for (const limit of [1, 2]) {
      const paged: string[] = []
      let url: string | undefined = `${tokens}?sort=${sort}&limit=${limit}`
      while (url) {
        const page = await ask('GET', url)
        paged.push(...page.body.items.map((item: any) => item.name))
        url = /^<(.+)>; rel="next"$/.exec(page.headers.link ?? '')?.[1]
      }
      t.same(paged, all, `${sort} by ${limit}`)
    }
  }
})

t.test('it is filtered like any other', async (t) => {
  const past = '2026-01-01T00:00:00Z'
  const future = '2026-04-01T00:00:00Z'
  for (const query of [
    'status=revoked',
    'type=api',
    'owner=u-1',
    'search=environments',
    'never_used=false',
    `created_to=${past}`,
    `expires_from=${past}`,
    `last_used_to=${future}`,
  ])
    t.notOk((await list(`?${query}`)).includes('environment'), query)
  for (const query of ['status=active', 'search=ENV', 'never_used=true', `created_to=${future}`])
    t.ok((await list(`?${query}`)).includes('environment'), query)
})

t.test(
  'it cannot be edited, revoked or deleted through the API, by id, by itself or by secret',
  async (t) => {
    const { client_id: id } = await introspect(text)
    for (const answer of [
      await ask('PATCH', `${tokens}/${id}`, { body: { name: 'Mine' } }),
      await ask('POST', `${tokens}/${id}/revoke`),
      await ask('DELETE', `${tokens}/${id}`),
      await ask('POST', '/v1/self/revoke', { token: text }),
    ])
      t.match(answer, { status: 409, body: { code: 'built_in' } })
    const byText = await ask('POST', '/revoke', { form: { token: text } })
    t.match(byText, { status: 400, body: { error: 'unsupported_token_type' } }, 'RFC 7009 §2.2.1')
    t.match(await introspect(text), { active: true })
  },
)

t.test('callers that do not reach its organization learn nothing at /revoke (RFC 7009 §2.2)', async (t) => {
  const other = await world.manager(['tokens:write'], 'default')
  t.equal((await ask('POST', '/revoke', { token: other, form: { token: text } })).status, 200)
})

t.test('it has no management permissions', async (t) => {
  t.equal((await ask('GET', tokens, { token: text })).status, 403)
  t.match(await introspect(text, text), { error: 'insufficient_scope' })
})

t.test('while its organization or its type is suspended it is inactive', async (t) => {
  for (const place of ['/v1/organizations/on-premises', '/v1/token-types/scim']) {
    await ask('POST', `${place}/suspend`)
    t.same(await introspect(text), { active: false }, place)
    await ask('POST', `${place}/resume`)
    t.match(await introspect(text), { active: true }, place)
  }
})

t.test('it shows time and address of its last use on any instance', async (t) => {
  const shown = async () => {
    const { id, last_used_at: at, last_used_ip: ip } = (await ask('GET', '/v1/self', { token: text })).body
    const [row] = (await ask('GET', `${tokens}?type=scim`)).body.items
    const one = (await ask('GET', `${tokens}/${id}`)).body
    for (const { last_used_at, last_used_ip } of [row, one]) t.same([last_used_at, last_used_ip], [at, ip])
    return { at, ip }
  }
  const used = async () => (await world.sql('select use_count from static_secret_uses')).rows
  await world.usage.flush()
  world.clock.advance(day)
  const at = world.clock.now
  const another = await createWorld(t, {
    staticSecret,
    databaseUrl: world.databaseUrl,
    signing: world.signing,
  })
  another.clock.now = at
  const before = Number((await used())[0]?.use_count)
  const form = { token: text, client_ip: '192.0.2.7' }
  for (const instance of [another, another, world])
    await instance.ask('POST', '/introspect', { token: world.admin, form })
  await Promise.all([another.usage.flush(), world.usage.flush()])
  t.same(await used(), [{ use_count: String(before + 3) }])
  t.same(await shown(), { at: at.toISOString(), ip: '192.0.2.7' })
  t.notOk((await list('?never_used=true')).includes('environment'))
  t.ok((await list(`?last_used_from=${at.toISOString()}`)).includes('environment'))
  t.equal((await list('?sort=-last_used_at'))[0], 'environment')
})

t.test('uses while its organization is locked are recorded later', async (t) => {
  await introspect(text)
  const used = async () =>
    Number((await world.sql('select use_count from static_secret_uses')).rows[0]?.use_count)
  const before = await used()
  await world.db.transaction().execute(async (tx) => {
    await tx.selectFrom('organizations').select('id').where('key', '=', 'on-premises').forUpdate().execute()
    await world.usage.flush()
    t.equal(await used(), before, 'the request does not wait for it')
  })
  await world.usage.flush()
  t.ok((await used()) > before)
})

t.test('its last use is deleted with its organization', async (t) => {
  await introspect(text)
  await ask('POST', '/v1/organizations/on-premises/suspend')
  await ask('DELETE', '/v1/organizations/on-premises')
  await world.usage.flush()
  t.same((await world.sql('select * from static_secret_uses')).rows, [])
  await ask('POST', '/v1/organizations', { body: { key: 'on-premises', name: 'Again' } })
  const [row] = (await ask('GET', `${tokens}?type=scim`)).body.items
  t.match(row, { last_used_at: null, last_used_ip: null })
  t.ok((await list('?never_used=true')).includes('environment'))
})

t.test('without AUTH_SECRET there is no such token', async (t) => {
  const plain = await createWorld(t)
  await plain.ask('POST', '/v1/organizations', { body: { key: 'on-premises', name: 'On premises' } })
  t.same(await plain.introspect(text), { active: false })
  t.same((await plain.ask('GET', tokens)).body.items, [])
})

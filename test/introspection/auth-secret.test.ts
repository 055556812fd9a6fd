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

t.test(
  'lists of its organization show it beside the items, read-only, whatever page and filter',
  async (t) => {
    await issue({ name: 'Issued' }, 'on-premises')
    const { static_token: fixed } = (await ask('GET', tokens)).body
    t.match(fixed, {
      name: 'environment',
      type: 'scim',
      status: 'active',
      read_only: true,
      expires_at: null,
      owner: null,
    })
    t.equal(fixed.id, (await introspect(text)).client_id)
    for (const query of ['', '?status=revoked', '?owner=u-1', '?search=issued', '?sort=name&limit=1']) {
      const { body } = await ask('GET', `${tokens}${query}`)
      t.same(body.static_token, fixed, query)
      t.notOk(
        body.items.some(({ name }: { name: string }) => name === 'environment'),
        query,
      )
    }
    t.same((await ask('GET', `${tokens}/${fixed.id}`)).body, fixed)
    t.same((await ask('GET', '/v1/self', { token: text })).body, fixed)
    t.notOk(JSON.stringify(fixed).includes(text.slice(-4)), 'not even the end of it is shown')
  },
)

t.test('counts leave it out', async (t) => {
  const { body: all } = await ask('GET', tokens)
  t.equal((await ask('GET', `${tokens}/counts`)).body.active.count, all.items.length)
})

t.test(
  'it is shown only in lists of its organization, and only to those who may read all tokens',
  async (t) => {
    const { id } = (await ask('GET', tokens)).body.static_token
    const elsewhere = '/v1/organizations/default/tokens'
    t.equal((await ask('GET', elsewhere)).body.static_token, null)
    t.equal((await ask('GET', `${elsewhere}/${id}`)).status, 404)
    const own = { name: 'Own', type: 'management', scopes: ['tokens:own'], owner: { subject: 'u-1' } }
    const { secret } = await issue(own, 'on-premises')
    t.match(await ask('GET', tokens, { token: secret }), { status: 200, body: { static_token: null } })
    t.equal((await ask('GET', `${tokens}/${id}`, { token: secret })).status, 404)
  },
)

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
    const { static_token: row } = (await ask('GET', tokens)).body
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
  const { static_token: fixed } = (await ask('GET', tokens)).body
  t.match(fixed, { read_only: true, last_used_at: null, last_used_ip: null })
})

t.test('without AUTH_SECRET there is no such token', async (t) => {
  const plain = await createWorld(t)
  await plain.ask('POST', '/v1/organizations', { body: { key: 'on-premises', name: 'On premises' } })
  t.same(await plain.introspect(text), { active: false })
  t.same((await plain.ask('GET', tokens)).body.items, [])
})

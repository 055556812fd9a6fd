import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue } = world
const create = (key: string, name = key) => ask('POST', '/v1/organizations', { body: { key, name } })

t.test('names of organizations and issuers are stored without surrounding spaces, in NFC', async (t) => {
  const name = ' Cafe\u0301 '
  t.equal((await create('cafe', name)).body.name, 'Caf\u00E9')
  t.equal((await ask('PATCH', '/v1/organizations/cafe', { body: { name } })).body.name, 'Caf\u00E9')
  const issuer = { name, issuer: 'https://login.cafe.example', audience: 'x' }
  const registered = await ask('POST', '/v1/organizations/cafe/issuers', { body: issuer })
  t.match(registered, { status: 201, body: { name: 'Caf\u00E9' } })
  await ask('POST', '/v1/organizations/cafe/suspend')
  await ask('DELETE', '/v1/organizations/cafe')
})

t.test('an organization is created, read by key or id, renamed', async (t) => {
  const created = await create('acme', 'Acme')
  t.match(created, {
    status: 201,
    headers: { location: '/v1/organizations/acme' },
    body: { key: 'acme', name: 'Acme' },
  })
  for (const path of ['acme', created.body.id]) {
    t.same((await ask('GET', `/v1/organizations/${path}`)).body, created.body)
  }
  const renamed = await ask('PATCH', '/v1/organizations/acme', { body: { name: 'Acme Inc.' } })
  t.match(renamed, { status: 200, body: { key: 'acme', name: 'Acme Inc.' } })
  const stale = { headers: { 'if-match': created.headers.etag as string }, body: { name: 'Old' } }
  t.equal((await ask('PATCH', '/v1/organizations/acme', stale)).status, 412)
  t.equal(
    (await ask('PATCH', '/v1/organizations/acme', { body: { key: 'emca' } })).status,
    400,
    'a key never changes',
  )
})

t.test('keys are unique', async (t) => {
  await create('taken')
  t.match(await create('taken'), { status: 409, body: { code: 'already_exists' } })
})

t.test('organizations are listed by key, page by page', async (t) => {
  for (const key of ['list-a', 'list-b', 'list-c']) await create(key)
  const keys: string[] = []
  let url: string | undefined = '/v1/organizations?limit=2'
  while (url) {
    const page = await ask('GET', url)
    keys.push(...page.body.items.map((item: any) => item.key))
    url = /^<(.+)>; rel="next"$/.exec(page.headers.link ?? '')?.[1]
  }
  t.same(keys, [...keys].sort())
  t.ok(['default', 'platform', 'list-a', 'list-b', 'list-c'].every((key) => keys.includes(key)))
})

t.test(
  'while an organization is suspended none of its tokens is good, and none can be created',
  async (t) => {
    await create('sleepy')
    const { secret } = await issue({}, 'sleepy')
    const administrator = await world.manager(['tokens:read'], 'sleepy')
    t.match(await ask('POST', '/v1/organizations/sleepy/suspend'), {
      status: 200,
      body: { suspended_at: /Z$/ },
    })
    t.same(await world.introspect(secret), { active: false })
    t.equal((await ask('GET', '/v1/organizations/sleepy/tokens', { token: administrator })).status, 401)
    const refused = await ask('POST', '/v1/organizations/sleepy/tokens', {
      body: { name: 'New', type: 'api' },
    })
    t.match(refused, { status: 409, body: { code: 'suspended' } })
    t.match(await ask('POST', '/v1/organizations/sleepy/resume'), {
      status: 200,
      body: { suspended_at: null },
    })
    t.match(await world.introspect(secret), { active: true })
  },
)

t.test('a suspended organization can be deleted with its tokens; its change log remains', async (t) => {
  const { id } = (await create('gone')).body
  const { secret } = await issue({ name: 'Goes too' }, 'gone')
  t.match(await ask('DELETE', '/v1/organizations/gone'), { status: 409, body: { code: 'not_suspended' } })
  await ask('POST', '/v1/organizations/gone/suspend')
  t.equal((await ask('DELETE', '/v1/organizations/gone')).status, 204)
  t.equal((await ask('GET', '/v1/organizations/gone')).status, 404)
  t.same(await world.introspect(secret), { active: false })
  const log = await ask('GET', `/v1/organizations/${id}/audit-events`)
  t.same(
    log.body.items.map((event: any) => event.target.name),
    ['Goes too'],
  )
  const platform = await ask('GET', `/v1/organizations/platform/audit-events?target=${id}`)
  const actions = platform.body.items.map((event: any) => event.action)
  t.same(actions, ['organization.deleted', 'organization.suspended', 'organization.created'])
})

t.test('the platform organization cannot be changed', async (t) => {
  for (const [method, path] of [
    ['PATCH', ''],
    ['DELETE', ''],
    ['POST', '/suspend'],
  ] as const) {
    const answer = await ask(
      method,
      `/v1/organizations/platform${path}`,
      method === 'PATCH' ? { body: { name: 'x' } } : {},
    )
    t.match(answer, { status: 409, body: { code: 'built_in' } }, method + path)
  }
})

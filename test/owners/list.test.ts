import t from 'tap'
import { up } from '../../migrations/0024-owner-lists.ts'
import { selectOwners } from '../../src/owners/store.ts'
import { costOf } from '../support/plans.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
let organizations = 0

async function organization(...subjects: string[]) {
  const key = `org-${++organizations}`
  const { id } = (await world.ask('POST', '/v1/organizations', { body: { key, name: key } })).body
  const base = `/v1/organizations/${key}`
  const create = (owner: object) =>
    world.ask('POST', `${base}/tokens`, { body: { name: 'New', type: 'api', owner } })
  for (const subject of subjects) await create({ subject, email: `${subject}@Example.com` })
  const list = (query = '', token = world.admin) => world.ask('GET', `${base}/owners?${query}`, { token })
  const subjects_ = async (query = '', token = world.admin) =>
    (await list(query, token)).body.items.map(({ subject }: any) => subject)
  return { id, key, base, create, list, subjects: subjects_ }
}

t.test('owners are listed by subject, page by page', async (t) => {
  const { list } = await organization('u-3', 'u-1', 'u-5', 'u-2', 'u-4')
  const seen: string[] = []
  let path: string | undefined
  for (let pages = 0; pages < 3; pages++) {
    const { body, headers } = path ? await world.ask('GET', path) : await list('limit=2')
    seen.push(...body.items.map(({ subject }: any) => subject))
    path = /<(.*)>; rel="next"/.exec(headers.link ?? '')?.[1]
    t.equal(path === undefined, body.next_cursor === null)
  }
  t.same(seen, ['u-1', 'u-2', 'u-3', 'u-4', 'u-5'])
  t.equal(path, undefined)
})

t.test('an entry of the list is the record of the owner', async (t) => {
  const { base, list } = await organization('u-1')
  t.same((await list()).body.items, [(await world.ask('GET', `${base}/owners/u-1`)).body])
})

t.test('owners are filtered by suspension', async (t) => {
  const { base, subjects } = await organization('u-1', 'u-2', 'u-3')
  await world.ask('POST', `${base}/owners/u-2/suspend`)
  t.same(await subjects('suspended=true'), ['u-2'])
  t.same(await subjects('suspended=false'), ['u-1', 'u-3'])
})

t.test('search finds any part of subject and e-mail address, in any case', async (t) => {
  const { create, subjects } = await organization('ada', 'bob')
  await create({ subject: 'U-4711' })
  await create({ subject: 'percent%_' })
  t.same(await subjects('search=DA@example'), ['ada'])
  t.same(await subjects('search=example.COM'), ['ada', 'bob'])
  t.same(await subjects('search=-47'), ['U-4711'])
  t.same(await subjects('search=%25_'), ['percent%_'])
  t.same(await subjects('search=nothing'), [])
})

t.test('owners of other organizations are not listed', async (t) => {
  const other = await organization('u-other')
  const { key, subjects } = await organization('u-1')
  const reader = await world.manager(['tokens:read'], key)
  t.same(await subjects('', reader), ['u-1'])
  t.match(await other.list('', reader), { status: 404 })
})

t.test('with tokens:own, owners find only themselves', async (t) => {
  const { key, subjects } = await organization('u-1', 'u-2')
  const own = await world.manager(['tokens:own'], key, { owner: { subject: 'u-1' } })
  t.same(await subjects('', own), ['u-1'])
  t.same(await subjects('search=u-2', own), [])
  const { list } = await organization()
  t.equal((await list('', await world.manager(['policy:read'], key))).status, 404)
})

t.test('without permission to read tokens, there is no list', async (t) => {
  const { key, list } = await organization('u-1')
  const token = await world.manager(['policy:read'], key)
  t.match(await list('', token), { status: 403, body: { code: 'insufficient_scope' } })
})

t.test('a page examines a limited number of owners, wherever it starts', async (t) => {
  const { id, list } = await organization()
  await world.sql(
    `insert into owners (organization_id, subject, email, identity_source, suspended_at, created_at, updated_at)
       select $1, 'user-' || lpad(i::text, 6, '0'), i || '@example.com', 'internal',
         case when i > 25000 then now() end, now(), now() from generate_series(1, 25100) i`,
    [id],
  )
  await world.sql('analyze owners')
  const asked = { subject: undefined, suspended: undefined, search: undefined, after: undefined, limit: 10 }
  const cost = (query: object) =>
    costOf(world.db, 'owners', (db) => selectOwners(db, id, { ...asked, ...query }))
  for (const query of [{}, { after: 'user-020000' }, { suspended: true }, { search: 'user' }])
    t.ok((await cost(query)).examined <= 22, JSON.stringify(query))
  t.ok((await cost({ search: 'nothing' })).examined <= 20_002)

  const pages: string[][] = []
  let cursor = ''
  do {
    const { body } = await list(`search=25050@${cursor && `&cursor=${cursor}`}`)
    pages.push(body.items.map(({ subject }: any) => subject))
    cursor = body.next_cursor
  } while (cursor)
  t.same(pages, [[], [], ['user-025050']])
})

t.test('a migration gives a record to every owner of older tokens', async (t) => {
  const { create, list } = await organization()
  await create({ subject: 'u-1', email: 'old@example.com', identity_source: 'sso' })
  await create({ subject: 'u-2', email: 'old@example.com', identity_source: 'ldap' })
  await create({ subject: 'u-2', email: 'new@example.com' })
  await create({ subject: 'u-3', external_id: undefined })
  await world.sql(`delete from owners where subject <> 'u-3'`)
  await world.sql('drop index owners_suspended')
  // As older versions did, which had no records.
  await world.sql(`insert into tokens
    select (jsonb_populate_record(tokens, jsonb_build_object('id', gen_random_uuid(), 'owner_source', 'internal'))).*
    from tokens where owner_subject = 'u-1'`)
  await up(world.db as never)
  t.match((await list()).body.items, [
    { subject: 'u-1', email: 'old@example.com', identity_source: 'sso', suspended_at: null },
    { subject: 'u-2', email: 'new@example.com', identity_source: 'ldap' },
    { subject: 'u-3', email: null, identity_source: 'internal' },
  ])
})

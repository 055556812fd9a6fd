import t, { type Test } from 'tap'
import { execute } from '../support/database.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue, clock } = world
const url = '/v1/organizations/default/tokens'

async function pages(t: Test, query: Record<string, string>, organization = 'default') {
  const found: string[][] = []
  const search = new URLSearchParams(query)
  for (let next = `/v1/organizations/${organization}/tokens?${search}`; next; ) {
    const { status, body, headers } = await ask('GET', next)
    t.equal(status, 200)
    found.push(body.items.map(({ name }: { name: string }) => name))
    next = /<([^>]*)>/.exec(headers.link ?? '')?.[1] ?? ''
    t.equal(next === '', body.next_cursor === null)
  }
  return found
}

t.test('a search finds any part of a name or a comment, case-insensitively and literally', async (t) => {
  await issue({
    name: 'Okta SCIM connector',
    comment: 'Asked for in CHG-1042',
    metadata: { team: 'identity', n: 1 },
  })
  await issue({ name: 'Zürich report', comment: 'Straße 5', metadata: { team: 'identity' } })
  await issue({ name: '100% of_it', metadata: { team: 'sales', n: 1 } })
  const names = async (query: Record<string, string>) => (await pages(t, { sort: 'name', ...query })).flat()
  const cases: [Record<string, string>, string[]][] = [
    [{ search: 'scim CONN' }, ['Okta SCIM connector']],
    [{ search: 'chg-10' }, ['Okta SCIM connector']],
    [{ search: 'ü'.normalize('NFD') }, ['Zürich report']],
    [{ search: 'STRA' }, ['Zürich report']],
    [{ search: '%' }, ['100% of_it']],
    [{ search: 'f_i' }, ['100% of_it']],
    [{ search: 'o_t' }, []],
    [{ search: '\\' }, []],
    [{ search: 'report', type: 'mcp' }, []],
    [{ name: ' zÜRICH REPORT' }, ['Zürich report']],
    [{ name: 'Zürich' }, []],
    [{ metadata: '{"team":"identity"}' }, ['Okta SCIM connector', 'Zürich report']],
    [{ metadata: '{"team":"identity","n":1}' }, ['Okta SCIM connector']],
    [{ metadata: '{"n":"1"}' }, []],
    [{ metadata: '{"team":"identity"}', search: 'okta' }, ['Okta SCIM connector']],
  ]
  for (const [query, expected] of cases) t.same(await names(query), expected, JSON.stringify(query))
  for (const metadata of ['team', '[]', '7', '{"a":{}}', '{"a":[1]}', 'null', '']) {
    t.match(
      await ask('GET', `${url}?metadata=${encodeURIComponent(metadata)}`),
      { status: 400, body: { errors: [{ in: 'query', field: 'metadata' }] } },
      metadata,
    )
  }
})

t.test('metadata can be replaced and cleared', async (t) => {
  const { id } = await issue({ metadata: { team: 'identity', cost: 1 } })
  const change = (metadata: unknown) => ask('PATCH', `${url}/${id}`, { body: { metadata } })
  t.same((await change({ team: 'sales' })).body.metadata, { team: 'sales' })
  const [event] = (await ask('GET', `/v1/organizations/default/audit-events?target=${id}`)).body.items
  t.same(event.changes, {
    before: { metadata: { team: 'identity', cost: 1 } },
    after: { metadata: { team: 'sales' } },
  })
  t.match(await change({ nested: { a: 1 } }), {
    status: 400,
    body: { errors: [{ field: 'metadata.nested' }] },
  })
  for (const empty of [null, '']) t.same((await change(empty)).body.metadata, {})
  t.same((await ask('PATCH', `${url}/${id}`, { body: { name: 'Same' } })).body.metadata, {})
})

t.test('statuses are counted for tabs, of all owners or of one', async (t) => {
  await ask('POST', '/v1/organizations', { body: { key: 'counted', name: 'Counted' } })
  const counts = async (query = '', token = world.admin) =>
    ask('GET', `/v1/organizations/counted/tokens/counts${query}`, { token })
  const create = (body: object) => issue({ lifetime_days: 30, ...body }, 'counted')
  const ada = { owner: { subject: 'ada' } }
  const start = new Date(clock.now.getTime() + day).toISOString()
  for (const body of [{}, ada, { not_before: start }, { ...ada, not_before: start }, { lifetime_days: 365 }])
    await create(body)
  for (const body of [{}, ada, ada]) {
    const { id } = await create(body)
    await ask('POST', `/v1/organizations/counted/tokens/${id}/revoke`)
  }
  const of = (active: number, expired: number, revoked: number, not_yet_valid: number) => ({
    active: { count: active, more: false },
    expired: { count: expired, more: false },
    revoked: { count: revoked, more: false },
    not_yet_valid: { count: not_yet_valid, more: false },
  })
  t.same((await counts()).body, of(3, 0, 3, 2))
  t.same((await counts('?owner=ada')).body, of(1, 0, 2, 1))
  const own = await world.manager(['tokens:own'], 'counted', ada)
  t.same((await counts('', own)).body, of(2, 0, 2, 1), 'with their own token')
  t.same((await counts('?owner=bob', own)).body, of(0, 0, 0, 0))
  clock.advance(31 * day)
  t.same((await counts()).body, of(2, 4, 3, 0))
  clock.advance(-31 * day)
  t.equal((await counts('', '')).status, 401)
  t.equal((await counts('', (await issue({}, 'counted')).secret)).status, 403)
  t.equal((await counts('', await world.manager(['tokens:write'], 'counted'))).status, 403)
  t.equal((await counts('', await world.manager(['tokens:read']))).status, 404)
  t.match(await counts('?status=active'), {
    status: 400,
    body: { errors: [{ in: 'query', field: 'status' }] },
  })
})

t.test('a page examines a bounded number of tokens, and the next one continues there', async (t) => {
  const organization = (await ask('POST', '/v1/organizations', { body: { key: 'large', name: 'Large' } }))
    .body.id
  await execute(
    world.databaseUrl,
    `insert into tokens (organization_id, id, type, name, comment, scopes, audience, metadata, created_at, created_by, updated_at)
       select '${organization}', gen_random_uuid(), 'api', 'Token ' || i, case when i % 12000 = 1 then 'the needle ' || i end,
         '{}', '{}', '{}', timestamptz '2026-01-01' + i * interval '1 second', '{"type":"system","id":"x","name":"x"}', now()
       from generate_series(1, 25000) i;
     insert into token_secrets (hash, organization_id, token_id, hint, created_at)
       select sha256(id::text::bytea), organization_id, id, '', created_at from tokens where organization_id = '${organization}';
     analyze tokens`,
  )
  for (const sort of ['created_at', '-created_at', 'name', '-expires_at', 'last_used_at']) {
    const found = await pages(t, { search: 'NEEDLE', sort }, 'large')
    t.same(found.flat().toSorted(), ['Token 1', 'Token 12001', 'Token 24001'], sort)
    t.equal(found.length, 5, `${sort}: 25,000 tokens are five pages, however few are found`)
  }
  const common = await ask('GET', '/v1/organizations/large/tokens?search=token&limit=10')
  t.equal(common.body.items.length, 10)
  t.same((await pages(t, { search: 'nowhere' }, 'large')).flat(), [])
  const { body } = await ask('GET', '/v1/organizations/large/tokens/counts')
  t.same(body.active, { count: 10_000, more: true })

  await execute(
    world.databaseUrl,
    `update tokens set comment = (select string_agg(md5(random()::text), '') from generate_series(1, 3000))
       where organization_id = '${organization}' and created_at < timestamptz '2026-01-01' + interval '60 seconds'`,
  )
  const long = await pages(t, { search: 'Token 24999', sort: 'created_at' }, 'large')
  t.same(long.flat(), ['Token 24999'])
  t.ok(long.length > 5, 'long comments count for more')
})

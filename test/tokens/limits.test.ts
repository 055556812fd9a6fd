import { sql } from 'kysely'
import t from 'tap'
import { keepActiveCounts } from '../../src/tokens/quota.ts'
import { countActive } from '../../src/tokens/quota-store.ts'
import { hold } from '../support/locks.ts'
import { retried } from '../support/retried.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
let organizations = 0

async function organization(policy: object) {
  const key = `org-${++organizations}`
  await world.ask('POST', '/v1/organizations', { body: { key, name: key } })
  const { status, text } = await world.ask('PUT', `/v1/organizations/${key}/policy`, { body: policy })
  if (status !== 200) throw new Error(text)
  const url = `/v1/organizations/${key}/tokens`
  const create = (body: object = {}) =>
    retried(() => world.ask('POST', url, { body: { name: 'A token', type: 'api', ...body } }))
  const active = async () => (await world.ask('GET', `${url}?status=active&limit=200`)).body.items
  return { key, url, create, active }
}

const times = <T>(count: number, make: (i: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, i) => make(i)))

function statuses(answers: { status: number }[]) {
  return Object.fromEntries(
    [201, 409].map((status) => [status, answers.filter((answer) => answer.status === status).length]),
  )
}

const owner = (subject: string) => ({ subject, identity_source: 'internal' })

t.test('50 concurrent creates against 25 per owner end in 25 tokens and 25 clear errors', async (t) => {
  const { create, active } = await organization({ limits: { active_per_owner: 25 } })
  const answers = await times(50, (i) => create({ name: `T${i}`, owner: owner('u-1') }))
  t.same(statuses(answers), { 201: 25, 409: 25 })
  const refused = answers.filter(({ status }) => status === 409)
  t.same([...new Set(refused.map(({ body }) => body.code))], ['limit_reached'])
  t.equal(refused[0]?.body.detail, 'The owner has 25 of 25 active tokens.')
  t.equal((await active()).length, 25)
})

t.test('50 concurrent creates of two owners against 25 in the organization end in 25 tokens', async (t) => {
  const limits = { active_per_organization: 25, active_per_owner: 20 }
  const { create, active } = await organization({ limits })
  const answers = await times(50, (i) => create({ owner: owner(`u-${i % 2}`) }))
  t.same(statuses(answers), { 201: 25, 409: 25 })
  t.equal((await active()).length, 25)
})

t.test('one owner at the limit leaves room for others, and for services', async (t) => {
  const { create } = await organization({ limits: { active_per_owner: 1 } })
  t.equal((await create({ owner: owner('u-1') })).status, 201)
  t.equal((await create({ owner: owner('u-1') })).status, 409)
  t.equal((await create({ owner: owner('u-2') })).status, 201)
  for (const _ of [1, 2]) t.equal((await create()).status, 201)
})

t.test('expired, revoked and deleted tokens free their quota', async (t) => {
  const { create, url } = await organization({ limits: { active_per_owner: 3 } })
  const mine = { owner: owner('u-1') }
  await create({ ...mine, lifetime_days: 1 })
  const revoked = await create(mine)
  const deleted = await create(mine)
  t.equal((await create(mine)).status, 409)
  world.clock.advance(day)
  t.equal((await create(mine)).status, 201)
  t.equal((await create(mine)).status, 409)
  await world.ask('POST', `${url}/${revoked.body.id}/revoke`)
  t.equal((await create(mine)).status, 201)
  t.equal((await create(mine)).status, 409)
  await world.ask('DELETE', `${url}/${deleted.body.id}`)
  t.equal((await create(mine)).status, 201)
  t.equal((await create(mine)).status, 409)
})

t.test('a token that is not valid yet counts against the quota', async (t) => {
  const { create } = await organization({ limits: { active_per_organization: 1 } })
  t.equal((await create({ not_before: '2027-01-01T00:00:00Z' })).status, 201)
  t.match(await create(), { status: 409, body: { code: 'limit_reached' } })
})

t.test('the count of active tokens is exact whatever happened, and whenever it was last kept', async (t) => {
  const { key } = await organization({})
  const { rows } = await world.sql('select id from organizations where key = $1', [key])
  const { id } = rows[0]
  const start = world.clock.now
  const exact = async (now: Date) => {
    const { rows } = await world.sql(
      `select count(*)::int as count from tokens
       where organization_id = $1 and revoked_at is null and coalesce(expires_at, 'infinity') > $2`,
      [id, now],
    )
    return rows[0].count
  }
  const some =
    'organization_id = $1 and id in (select id from tokens where organization_id = $1 order by random() limit 3)'
  const changes = [
    `insert into tokens (organization_id, id, type, name, scopes, audience, metadata, expires_at, created_at, created_by, updated_at)
       select $1, gen_random_uuid(), 'api', 'n', '{}', '{}', '{}',
         case when random() < 0.7 then timestamptz '${start.toISOString()}' + random() * interval '40 hours' end, now(), '{}', now()
       from generate_series(1, 5)`,
    `update tokens set revoked_at = now() where ${some}`,
    `update tokens set revoked_at = null where ${some}`,
    `update tokens set expires_at = expires_at + interval '5 hours' where ${some}`,
    `update tokens set name = 'm' where ${some}`,
    `delete from tokens where ${some}`,
  ]
  const wrong: object[] = []
  for (let step = 0; step < 120; step++) {
    await world.sql(changes[step % 7] ?? (changes[0] as string), [id])
    // Clocks of instances differ.
    const now = new Date(start.getTime() + step * 1_200_000 + (step % 5) * 900_000)
    const { active } = await countActive(world.db, id, { now, limit: 1_000 })
    if (active !== (await exact(now))) wrong.push({ step, active })
    if (step % 4 === 0) await keepActiveCounts(world.db, now)
  }
  t.same(wrong, [])
})

t.test('a revocation that commits after the count was kept is counted', async (t) => {
  const { key, create } = await organization({ limits: { active_per_organization: 2 } })
  await create()
  await create()
  const holder = await hold(
    t,
    world,
    `update tokens set revoked_at = now() where id = (
       select tokens.id from tokens join organizations on organizations.id = organization_id where key = '${key}' limit 1)`,
  )
  await keepActiveCounts(world.db, world.clock.now)
  t.equal((await create()).status, 409)
  await holder.query('commit')
  t.equal((await create()).status, 201)
  t.equal((await create()).status, 409)
})

t.test('of 20 concurrent creates with one name in different case, one succeeds', async (t) => {
  const { create, active } = await organization({ name: { unique: true } })
  const answers = await times(20, (i) => create({ name: i % 2 ? 'Okta Connector' : 'OKTA connector' }))
  t.same(statuses(answers), { 201: 1, 409: 19 })
  t.match(answers.find(({ status }) => status === 409)?.body, {
    code: 'name_taken',
    errors: [{ in: 'body', field: 'name' }],
  })
  t.equal((await active()).length, 1)
})

t.test('of 10 concurrent renames to one name, one succeeds', async (t) => {
  const { create, active, url } = await organization({ name: { unique: true } })
  const tokens = await times(10, (i) => create({ name: `T${i}` }))
  const answers = await times(10, (i) =>
    retried(() =>
      world.ask('PATCH', `${url}/${tokens[i]?.body.id}`, { body: { name: i % 2 ? 'Wanted' : 'wanted' } }),
    ),
  )
  t.equal(answers.filter(({ status }) => status === 200).length, 1)
  t.equal(answers.filter(({ body }) => body.code === 'name_taken').length, 9)
  t.equal((await active()).filter(({ name }: any) => /^wanted$/i.test(name)).length, 1)
})

t.test('a name is taken by expired and revoked tokens too, until they are deleted', async (t) => {
  const { create, url } = await organization({ name: { unique: true } })
  const first = await create({ name: 'Only' })
  await world.ask('POST', `${url}/${first.body.id}/revoke`)
  t.equal((await create({ name: 'only' })).status, 409)
  await world.ask('DELETE', `${url}/${first.body.id}`)
  t.equal((await create({ name: 'only' })).status, 201)
})

t.test("a token can be given its own name in another case, and another organization's name", async (t) => {
  const one = await organization({ name: { unique: true } })
  const other = await organization({ name: { unique: true } })
  const { body } = await one.create({ name: 'Mine' })
  t.equal((await world.ask('PATCH', `${one.url}/${body.id}`, { body: { name: 'MINE' } })).status, 200)
  t.equal((await other.create({ name: 'mine' })).status, 201)
})

t.test('names may repeat if the policy allows it', async (t) => {
  const { create } = await organization({})
  for (const _ of [1, 2]) t.equal((await create({ name: 'Again' })).status, 201)
})

t.test('concurrent changes of policies, owners and tokens do not deadlock', async (t) => {
  const { create, url, key } = await organization({
    name: { unique: true },
    limits: { active_per_owner: 100 },
  })
  const tokens = await times(20, (i) => create({ name: `T${i}`, owner: owner('u-1') }))
  const answers = await times(80, async (i) => {
    const item = `${url}/${tokens[i % 20]?.body.id}`
    if (i % 5 === 0) return create({ name: `N${i}`, owner: owner('u-1') })
    if (i % 5 === 1) return world.ask('PATCH', item, { body: { name: `R${i}` } })
    if (i % 5 === 2) return world.ask('POST', `/v1/organizations/${key}/owners/u-1/revoke-tokens`)
    if (i % 5 === 3)
      return world.ask('PATCH', `/v1/organizations/${key}/policy`, {
        body: { name: { minimum_length: 1 + (i % 3) } },
      })
    return world.ask('DELETE', item)
  })
  t.same(
    answers.filter(({ status }) => status === 500).map(({ text }) => text),
    [],
  )
})

t.test('a create or rename that waits for a policy change follows the new policy', async (t) => {
  const { create, key, url } = await organization({})
  await create({ name: 'Taken' })
  const { body: token } = await create({ name: 'Other' })
  let settled = 0
  const noting = <T>(answer: Promise<T>) => answer.finally(() => settled++)
  const waiting = async () => {
    const { rows } = await sql<{ count: number }>`select count(*)::int as count from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`.execute(world.db)
    return rows[0]?.count ?? 0
  }
  const answers = await world.db.transaction().execute(async (tx) => {
    const own = JSON.stringify({ name: { unique: true } })
    await tx.updateTable('organizations').set({ policy: own }).where('key', '=', key).execute()
    const answers = [
      noting(create({ name: 'taken' })),
      noting(world.ask('PATCH', `${url}/${token.id}`, { body: { name: 'TAKEN' } })),
    ]
    while (settled + (await waiting()) < answers.length);
    return answers
  })
  for (const answer of answers) t.match(await answer, { status: 409, body: { code: 'name_taken' } })
})

t.test('introspection waits for none of the locks that keep limits and policies exact', async (t) => {
  const { create, key } = await organization({ limits: { active_per_organization: 10 } })
  const { body: token } = await create({ owner: owner('u-1') })
  await world.db.transaction().execute(async (tx) => {
    await sql`select pg_advisory_xact_lock(hashtextextended(id::text, 0)), id from organizations
      where key = ${key} for update`.execute(tx)
    await sql`select id from tokens where id = ${token.id} for update`.execute(tx)
    t.equal((await world.introspect(token.secret)).active, true)
  })
})

import fc from 'fast-check'
import t from 'tap'
import type { Db } from '../../src/db/database.ts'
import { giveNotices } from '../../src/notices/notices.ts'
import { last, selectAging } from '../../src/notices/store.ts'
import { costOf } from '../support/plans.ts'
import { createWorld, day, type World } from '../support/world.ts'

const world = await createWorld(t)
const { ask, clock } = world
const minute = 60_000
const policyOf = (organization: string) => `/v1/organizations/${organization}/policy`

/** What was announced since the last call, as `name days` in the order of the outbox. */
async function announced(): Promise<string[]> {
  const { rows } = await world.sql(`delete from outbox returning id, type, data`)
  return rows
    .filter(({ type }) => /expir|due/.test(type))
    .sort((a, b) => a.id - b.id)
    .map(
      ({ type, data }) =>
        `${data.name} ${type === 'token.expiring' ? data.days : type.replace('token.', '')}`,
    )
}

const give = () => giveNotices(world.db, clock.now)

/** Moves the clock in steps of `ms`, giving notices after each. */
async function pass(total: number, ms: number) {
  for (let passed = 0; passed < total; passed += ms) {
    clock.advance(ms)
    await give()
  }
}

await give()
await announced()

t.test('a token is announced 30, 7 and 1 days before, and when it has expired', async (t) => {
  await world.issue({ name: 'a', lifetime_days: 90 })
  await pass(59 * day, 59 * day)
  t.same(await announced(), [])
  const seen: Record<number, string[]> = {}
  for (let passed = 59; passed < 92; passed += 1) {
    await pass(day, day)
    const some = await announced()
    if (some.length > 0) seen[90 - passed - 1] = some
  }
  // The notices lag a minute behind the clock, which here moves by days.
  t.same(seen, { 29: ['a 30'], 6: ['a 7'], 0: ['a 1'], '-1': ['a expired'] })
})

t.test('nothing is announced that was created or rotated with less time left', async (t) => {
  await world.issue({ name: 'a week', lifetime_days: 7 })
  await world.issue({ name: 'an hour more', lifetime_seconds: 7 * 86_400 + 3600 })
  const rotated = await world.issue({ name: 'rotated', lifetime_days: 20 })
  await ask('POST', `/v1/organizations/default/tokens/${rotated.id}/rotate`, { body: { lifetime_days: 3 } })
  await pass(8 * day, 240 * minute)
  const found = await announced()
  t.same(
    found.filter((one) => one.startsWith('a week')),
    ['a week 1', 'a week expired'],
  )
  t.same(
    found.filter((one) => one.startsWith('an hour')),
    ['an hour more 7', 'an hour more 1', 'an hour more expired'],
  )
  t.same(
    found.filter((one) => one.startsWith('rotated')),
    ['rotated 1', 'rotated expired'],
  )
})

t.test('revoked and deleted tokens, and those without expiry, are not announced', async (t) => {
  const tokens = '/v1/organizations/default/tokens'
  const revoked = await world.issue({ name: 'revoked', lifetime_days: 40 })
  const deleted = await world.issue({ name: 'deleted', lifetime_days: 40 })
  await world.issue({ name: 'permanent', never_expires: true })
  await ask('POST', `${tokens}/${revoked.id}/revoke`)
  await ask('DELETE', `${tokens}/${deleted.id}`)
  await pass(45 * day, 5 * day)
  t.same(await announced(), [])
})

t.test('a rotation that extends the token starts again', async (t) => {
  const { id } = await world.issue({ name: 'extended', lifetime_days: 40 })
  await pass(12 * day, day)
  t.same(await announced(), ['extended 30'])
  await ask('POST', `/v1/organizations/default/tokens/${id}/rotate`, { body: { lifetime_days: 90 } })
  await pass(100 * day, day)
  t.same(await announced(), ['extended 30', 'extended 7', 'extended 1', 'extended expired'])
})

t.test('what was missed is announced late, with the smallest number of days only', async (t) => {
  await world.issue({ name: 'in 3 days', lifetime_days: 63 })
  await world.issue({ name: 'in 20 days', lifetime_days: 80 })
  await world.issue({ name: 'gone', lifetime_days: 50 })
  await pass(60 * day, 60 * day)
  t.same((await announced()).sort(), ['gone expired', 'in 20 days 30', 'in 3 days 7'])
  await pass(2 * day + minute, 2 * day + minute)
  t.same(await announced(), ['in 3 days 1'])
  await pass(2 * 365 * day, 2 * 365 * day)
  t.same((await announced()).sort(), ['in 20 days expired', 'in 3 days expired'], 'years later')
})

t.test('each organization has its own numbers of days, or none', async (t) => {
  for (const [key, expiry_days] of [
    ['own', [14, 3]],
    ['quiet', []],
  ] as const) {
    await ask('POST', '/v1/organizations', { body: { key, name: key } })
    const put = await ask('PUT', policyOf(key), { body: { notifications: { expiry_days } } })
    t.equal(put.status, 200, put.text)
  }
  await give()
  for (const organization of ['own', 'quiet', 'default'])
    await world.issue({ name: organization, lifetime_days: 60 }, organization)
  await pass(62 * day, day)
  const found = await announced()
  const of = (name: string) => found.filter((one) => one.startsWith(name)).map((one) => one.split(' ')[1])
  t.same(of('own'), ['14', '3', 'expired'])
  t.same(of('quiet'), ['expired'])
  t.same(of('default'), ['30', '7', '1', 'expired'])
  for (const expiry_days of [[0], [1, 1], [366], [1.5], Array.from({ length: 11 }, (_, n) => n + 1)])
    t.equal((await ask('PUT', policyOf('own'), { body: { notifications: { expiry_days } } })).status, 400)
})

t.test(
  'a secret that is due for rotation is announced once, and again after the next rotation',
  async (t) => {
    await ask('POST', '/v1/organizations', { body: { key: 'rotating', name: 'Rotating' } })
    await ask('PUT', policyOf('rotating'), { body: { rotation: { every_days: 90 } } })
    await give()
    const { id } = await world.issue({ name: 'aging' }, 'rotating')
    const revoked = await world.issue({ name: 'revoked' }, 'rotating')
    await ask('POST', `/v1/organizations/rotating/tokens/${revoked.id}/revoke`)
    await pass(120 * day, 10 * day)
    t.same(await announced(), ['aging rotation_due'])
    await ask('POST', `/v1/organizations/rotating/tokens/${id}/rotate`, { body: { overlap_seconds: 0 } })
    await pass(120 * day, 10 * day)
    t.same(await announced(), ['aging rotation_due'])
  },
)

t.test(
  'many tokens that expire in the same instant are announced once each by instances that race',
  async (t) => {
    const { id: template } = await world.issue({ name: 'template', lifetime_days: 60 })
    await world.sql(
      `with made as (
      insert into tokens select (jsonb_populate_record(tokens, jsonb_build_object('id', gen_random_uuid(), 'name', 'n' || n))).*
      from tokens, generate_series(1, 1200) as n where id = $1 returning organization_id, id
    )
    insert into token_secrets (hash, organization_id, token_id, hint, created_at)
    select sha256(id::text::bytea), organization_id, id, 'h', $2 from made`,
      [template, clock.now],
    )
    clock.advance(53 * day + minute * 2)
    await Promise.all([give(), give(), give()])
    const found = await announced()
    t.equal(found.length, 1201)
    t.equal(new Set(found).size, 1201)
    t.ok(found.every((one) => one.endsWith(' 7')))
    await world.sql("delete from tokens where name ~ '^n[0-9]'")
  },
)

t.test(
  'in any history, each token is announced at most once for each number of days, and once at its end',
  async (t) => {
    await give()
    await announced()
    let n = 0
    const step = fc.oneof(
      fc.record({ create: fc.integer({ min: 1, max: 400 }) }),
      fc.record({ pass: fc.integer({ min: 1, max: 900 }) }),
      fc.record({ hours: fc.integer({ min: 1, max: 48 }) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        const living = new Map<string, { expires: number; created: number; told: string[] }>()
        const observe = async () => {
          await Promise.all([give(), give()])
          for (const one of await announced()) {
            const [name = '', what = ''] = one.split(' ')
            const token = living.get(name)
            if (!token) continue
            const reached = clock.now.getTime() - minute
            const left = (token.expires - reached) / day
            if (what === 'expired' ? left > 0 : left > Number(what)) throw new Error(`${one} came early`)
            if (what !== 'expired' && token.expires - Number(what) * day <= token.created)
              throw new Error(`${one}: it was created with less time left`)
            if (token.told.includes(what)) throw new Error(`${one} came twice`)
            if (token.told.includes('expired')) throw new Error(`${one} came after the end`)
            token.told.push(what)
          }
          for (const [name, { expires, created, told }] of living) {
            const reached = clock.now.getTime() - minute
            if (expires <= reached && !told.includes('expired')) throw new Error(`${name} is missing its end`)
            const due = [1, 7, 30].find(
              (days) => expires - days * day <= reached && expires - days * day > created,
            )
            if (expires > reached && due && told.length === 0) throw new Error(`${name} is missing ${due}`)
          }
        }
        for (const one of steps) {
          if ('create' in one) {
            const name = `p${++n}`
            const { expires_at } = await world.issue({ name, lifetime_days: one.create })
            living.set(name, { expires: Date.parse(expires_at), created: clock.now.getTime(), told: [] })
          } else clock.advance('pass' in one ? one.pass * day : one.hours * 3_600_000)
          await observe()
        }
      }),
      { numRuns: 6 },
    )
    t.ok(n > 0)
  },
)

t.test('the scan reads only what has become due', async (t) => {
  const plan = await explain(world)
  t.match(plan, /Index (Only )?Scan using tokens_expiring/)
  t.notMatch(plan, /Seq Scan on tokens|Sort/)
})

t.test('the scan for rotation reads no secrets of organizations without that policy', async (t) => {
  const { id: template } = await world.issue()
  await world.sql(
    `insert into token_secrets (hash, organization_id, token_id, hint, created_at)
    select sha256(n::text::bytea), organization_id, id, 'h', $2 from tokens, generate_series(1, 5000) as n where id = $1`,
    [template, clock.now],
  )
  await ask('POST', '/v1/organizations', { body: { key: 'aging', name: 'Aging' } })
  await ask('PUT', policyOf('aging'), { body: { rotation: { every_days: 45 } } })
  for (let n = 0; n < 3; n += 1) await world.issue({ name: `read ${n}` }, 'aging')
  await world.sql('analyze')
  const after = { at: new Date(0).toISOString(), organizationId: last, tokenId: last }
  const read = (db: Db) => selectAging(db, { after, until: clock.now, limit: 500 }, 45)
  t.same(
    (await read(world.db)).map(({ name }) => name),
    ['read 0', 'read 1', 'read 2'],
  )
  const { examined, scanned } = await costOf(world.db, 'token_secrets', read)
  t.ok(examined < 100, `${examined} of more than 5,000`)
  t.notOk(scanned.includes('token_secrets'))
})

async function explain(world: World): Promise<string> {
  // In one request, so that both run on the same connection.
  const results: any = await world.sql(`set enable_seqscan = off;
    explain select expires_at as at, organization_id, id as token_id from tokens
      where revoked_at is null and coalesce(expires_at, 'infinity') <= '2030-01-01'
        and (coalesce(expires_at, 'infinity'), organization_id, id) >
          ('2029-01-01'::timestamptz, '00000000-0000-0000-0000-000000000000'::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
      order by coalesce(expires_at, 'infinity'), organization_id, id limit 500;
    reset enable_seqscan`)
  return results[1].rows.map((row: any) => row['QUERY PLAN']).join('\n')
}

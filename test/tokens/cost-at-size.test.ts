// What counts and attention examine among 100,000 tokens: no more on a deep page than on the first one.
import t, { type Test } from 'tap'
import { statuses } from '../../src/shared/status.ts'
import {
  type Position as Due,
  type Reason,
  selectCount,
  selectExamined,
} from '../../src/tokens/attention/store.ts'
import { selectCount as countStatus } from '../../src/tokens/list/store.ts'
import { execute, fill, openDatabase } from '../support/database.ts'
import { type Cost, costOf } from '../support/plans.ts'

const { db, url } = await openDatabase(t)
// It contains no secrets, and searching it at the end of the run would take long.
t.teardown(() => execute(url, 'truncate tokens, organizations cascade'))
const large = '00000000-0000-7000-8000-000000000001'
const now = new Date('2026-03-01T12:00:00Z')

// In the large organization 80,000 tokens, in two hundred small ones a hundred each. A quarter of the small ones and the
// large one have their secrets rotated every 60 days; 30,000 secrets are older. A tenth is revoked, a fifth never expires, a
// third was never used.
await fill(
  url,
  ['tokens', 'token_secrets', 'token_uses'],
  `insert into organizations (id, key, name, policy, created_at, updated_at)
     select case when n = 0 then '${large}'::uuid else gen_random_uuid() end, 'org-' || n, 'Org',
       case when n % 4 = 0 then '{"rotation":{"every_days":60}}' else '{}' end::jsonb, now(), now()
     from generate_series(0, 200) n;
   insert into token_types (name, prefix, carries_organization, format, default_scopes, audience, created_at, updated_at)
     values ('api', 'api', false, 'opaque', '{}', '{}', now(), now());
   insert into tokens (organization_id, id, type, name, comment, owner_subject, owner_source, scopes, audience, metadata,
       expires_at, revoked_at, last_used_at, created_at, created_by, updated_at)
     select organizations.id, gen_random_uuid(), 'api', 'Token ' || i, case when i % 10 = 0 then 'For the team' end,
       'user-' || i % 5000, 'internal', '{}', '{}', '{}', case when i % 5 > 0 then at + interval '1 year' end,
       case when i % 10 = 3 then at + interval '1 day' end, case when i % 3 > 0 then at + interval '2 days' end,
       at, '{}', at
     from generate_series(1, 100000) i
       join organizations on key = 'org-' || case when i <= 80000 then 0 else 1 + i % 200 end,
       lateral (select timestamptz '${now.toISOString()}' - i * interval '90 seconds' as at);
   insert into token_uses (organization_id, token_id, last_used_at) select organization_id, id, last_used_at from tokens;
   insert into token_secrets (hash, organization_id, token_id, hint, created_at)
     select sha256(id::text::bytea), organization_id, id, '', created_at from tokens`,
)

function isCheap(t: Test, { scanned, sorted, examined }: Cost, most: number, what: string): void {
  const tables = ['tokens', 'token_secrets', 'token_uses']
  t.notOk(
    tables.some((table) => scanned.includes(table)),
    `${what}: no sequential scan`,
  )
  t.ok(sorted <= most, `${what}: no sort of the whole`, { sorted })
  t.ok(examined <= most, `${what}: bounded`, { examined })
}

/** A page examines 2,000 and one more, each once in the index and once in the table. */
const mostOfAttention = 2 * 2001

for (const reason of ['expiring', 'never_used', 'unused', 'rotation_due'] satisfies Reason[])
  for (const organizationId of [undefined, large])
    t.test(
      `${reason}, ${organizationId ? 'in one organization' : 'in all'}: any page costs the same`,
      async (t) => {
        const asked = { reason, organizationId, owner: undefined, days: reason === 'expiring' ? 365 : 1, now }
        let after: Due | undefined
        const costs: Cost[] = []
        for (let page = 0; page < 10; page++) {
          if (page % 9 === 0) costs.push(await costOf(db, 'tokens', (db) => selectExamined(db, asked, after)))
          const examined = await selectExamined(db, asked, after)
          t.equal(examined.length, 2001, 'there is a next page')
          t.ok(examined.some(({ isDue }) => isDue))
          after = examined[1999]?.position
        }
        for (const [i, cost] of costs.entries()) isCheap(t, cost, mostOfAttention, `page ${1 + 9 * i}`)
        const [first, deep] = costs as [Cost, Cost]
        t.ok(deep.blocks <= 1.5 * first.blocks, 'page 10 as page 1', {
          first: first.blocks,
          deep: deep.blocks,
        })

        const count = await costOf(db, 'tokens', (db) => selectCount(db, asked))
        isCheap(t, count, 2 * 10_001, 'the count')
        t.same(await selectCount(db, asked).then(({ more }) => more), true)
      },
    )

t.test(
  'a secret is due for rotation by the policy of its organization, and each is listed once',
  async (t) => {
    const asked = {
      reason: 'rotation_due',
      organizationId: undefined,
      owner: undefined,
      days: 0,
      now,
    } as const
    const seen: string[] = []
    let after: Due | undefined
    for (;;) {
      const rows = await selectExamined(db, asked, after)
      seen.push(...rows.slice(0, 2000).flatMap(({ position, isDue }) => (isDue ? position.id : [])))
      after = rows[1999]?.position
      if (rows.length <= 2000) break
    }
    const { rows } = await db
      .selectFrom('tokens')
      .innerJoin('organizations', 'organizations.id', 'tokens.organizationId')
      .select('tokens.id')
      .where('policy', '!=', '{}' as never)
      .where('tokens.createdAt', '<=', new Date(now.getTime() - 60 * 24 * 60 * 60 * 1000))
      .where('revokedAt', 'is', null)
      .execute()
      .then((rows) => ({ rows }))
    t.ok(seen.length > 20_000)
    t.same(seen.toSorted(), rows.map(({ id }) => id).toSorted())
  },
)

t.test('counts by status examine at most 10,000 tokens of each', async (t) => {
  for (const status of statuses)
    for (const owner of [undefined, 'user-77']) {
      const cost = await costOf(db, 'tokens', (db) =>
        // EXPLAIN has no row for it.
        countStatus(db, { organizationId: large, status, owner }, now).catch(() => undefined),
      )
      isCheap(t, cost, 10_001, `${status} ${owner}`)
    }
})

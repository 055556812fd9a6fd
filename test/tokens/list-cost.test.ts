import t, { type Test } from 'tap'
import {
  type Position,
  type Sort,
  selectTokens,
  sorts,
  type TokenFilter,
  type TokenQuery,
} from '../../src/tokens/list/store.ts'
import { execute, fill, openDatabase } from '../support/database.ts'
import { type Cost, costOf } from '../support/plans.ts'

const { db, url } = await openDatabase(t)
// It contains no secrets, and searching it at the end of the run would take long.
t.teardown(() => execute(url, 'truncate tokens cascade'))
const organization = '00000000-0000-7000-8000-000000000001'
const now = new Date('2026-03-01T12:00:00Z')
const limit = 10
// Out of 60,000. Filters without an index discard rows after examining them.
const few = 1000

// Created one every four minutes up to now; the old ones expired, a tenth revoked, a third never used, a hundredth not
// valid yet.
await fill(
  url,
  ['tokens', 'token_secrets', 'token_uses'],
  `insert into organizations (id, key, name, created_at, updated_at)
       values ('${organization}', 'large', 'Large', now(), now());
     insert into token_types (name, prefix, carries_organization, format, default_scopes, audience, created_at, updated_at)
       select name, name, false, 'opaque', '{}', '{}', now(), now() from unnest('{api,rare}'::text[]) name;
     insert into tokens (organization_id, id, type, name, owner_subject, owner_source, scopes, audience, metadata,
         not_before, expires_at, revoked_at, last_used_at, created_at, created_by, updated_at)
       select '${organization}', gen_random_uuid(), case when i % 2500 = 0 then 'rare' else 'api' end,
         'Token ' || md5(i::text), 'user-' || i % 5000, 'internal', '{}', '{}', '{}',
         case when i % 100 = 1 then at + interval '1 year' end,
         case when i % 4 > 0 then at + interval '90 days' end,
         case when i % 10 = 0 then at + interval '1 day' end,
         case when i % 3 > 0 then at + interval '2 days' end, at, '{}', at
       from generate_series(1, 60000) i, lateral (select timestamptz '${now.toISOString()}' - i * interval '4 minutes' as at);
     insert into token_uses (organization_id, token_id, last_used_at) select organization_id, id, last_used_at from tokens;
     insert into token_secrets (hash, organization_id, token_id, hint, created_at)
       select sha256(id::text::bytea), organization_id, id, '', created_at from tokens`,
)

type Order = Pick<TokenQuery, 'sort' | 'descending'>
const both = (sort: Sort): Order[] => [
  { sort, descending: false },
  { sort, descending: true },
]
const name = ({ sort, descending }: Order) => `${descending ? '-' : ''}${sort}`

function query(order: Order, filter: Partial<TokenFilter> = {}, page: Partial<TokenQuery> = {}): TokenQuery {
  return { created: {}, expires: {}, lastUsed: {}, ...filter, ...order, limit, now, ...page }
}

async function positionAfter(count: number, asked: TokenQuery): Promise<Position> {
  const last = (await selectTokens(db, organization, { ...asked, limit: count - 1 }))[count - 1]
  if (!last) throw new Error(`there are fewer than ${count}`)
  return { value: last.sortValue, id: last.id }
}

async function costsOfPage(t: Test, asked: TokenQuery): Promise<Cost> {
  const cost = await costOf(db, 'tokens', (db) => selectTokens(db, organization, asked))
  const large = ['tokens', 'token_secrets', 'token_uses']
  t.notOk(
    large.some((table) => cost.scanned.includes(table)),
    'no sequential scan',
  )
  t.ok(cost.sorted <= few, 'no sort of the whole', cost)
  return cost
}

for (const sort of sorts) {
  t.test(`page 2,000 by ${sort} costs as much as page 1: the rows it shows`, async (t) => {
    const after = await positionAfter(20_000, query({ sort, descending: false }))
    for (const order of both(sort)) {
      const first = await costsOfPage(t, query(order))
      const deep = await costsOfPage(t, query(order, {}, { after }))
      // Each row of the page and the one after it: once in the index, once in the table.
      t.equal(first.examined, 2 * (limit + 1), name(order))
      t.equal(deep.examined, 2 * (limit + 1), name(order))
      t.ok(deep.blocks <= 1.5 * first.blocks, name(order), { first, deep })
    }
  })
}

const month = { from: new Date('2026-02-01T00:00:00Z'), to: new Date('2026-03-01T00:00:00Z') }
const everyOrder = sorts.flatMap(both)
const filters: { what: string; filter: Partial<TokenFilter>; quick: Order[]; skip?: number }[] = [
  { what: 'active tokens', filter: { status: 'active' }, quick: both('expires_at'), skip: 2_000 },
  { what: 'expired tokens', filter: { status: 'expired' }, quick: both('expires_at'), skip: 2_000 },
  { what: 'revoked tokens', filter: { status: 'revoked' }, quick: everyOrder },
  { what: 'tokens yet to start', filter: { status: 'not_yet_valid' }, quick: [] },
  { what: 'a common type', filter: { type: 'api' }, quick: everyOrder },
  { what: 'a rare type', filter: { type: 'rare' }, quick: everyOrder, skip: 10 },
  { what: 'an owner', filter: { owner: 'user-77' }, quick: everyOrder, skip: 5 },
  { what: 'names that start alike', filter: { namePrefix: 'TOKEN 77' }, quick: both('name'), skip: 100 },
  { what: 'tokens never used', filter: { neverUsed: true }, quick: both('last_used_at'), skip: 2_000 },
  { what: 'used tokens', filter: { neverUsed: false }, quick: both('last_used_at'), skip: 2_000 },
  { what: 'a month of creation', filter: { created: month }, quick: both('created_at'), skip: 2_000 },
  { what: 'a month of expiry', filter: { expires: month }, quick: both('expires_at'), skip: 2_000 },
  { what: 'a month of use', filter: { lastUsed: month }, quick: both('last_used_at'), skip: 2_000 },
]

for (const { what, filter, quick, skip = 300 } of filters) {
  t.test(`the list of ${what} costs only the rows it shows, on every page`, async (t) => {
    for (const order of quick) {
      const asked = query(order, filter)
      const first = await costsOfPage(t, asked)
      const deep = await costsOfPage(t, { ...asked, after: await positionAfter(skip, asked) })
      t.ok(first.examined <= few && deep.examined <= few, name(order), { first, deep })
      // How many rows are skipped per page is random if they are ordered by id.
      const more = Math.max(1, deep.examined / first.examined)
      t.ok(deep.blocks <= 1.5 * more * first.blocks + 20, name(order), { first, deep })
    }
  })

  t.test(`the list of ${what} in any other order continues after the last page`, async (t) => {
    for (const order of everyOrder.filter(({ sort }) => !quick.some((known) => known.sort === sort))) {
      const asked = query(order, filter)
      await costsOfPage(t, asked)
      const deep = await costsOfPage(t, { ...asked, after: await positionAfter(Math.min(skip, 300), asked) })
      t.ok(deep.examined <= 10_000, name(order), { deep })
    }
  })
}

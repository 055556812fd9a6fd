import t, { type Test } from 'tap'
import { statusOf } from '../../src/shared/status.ts'
import {
  chooseAccessPath,
  maxExamined,
  type Position,
  type Sort,
  sorts,
  type TokenFilter,
  type TokenQuery,
} from '../../src/tokens/list/access-path-store.ts'
import { selectTokens } from '../../src/tokens/list/store.ts'
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
         case when i % 20 = 3 then 'Deploy' else 'Token ' || md5(i::text) end,
         case when i % 10 = 7 then 'robot' else 'user-' || i % 5000 end, 'internal', '{}', '{}', '{}',
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

async function list(asked: TokenQuery) {
  return selectTokens(db, organization, asked, await chooseAccessPath(db, organization, asked))
}

async function positionAfter(count: number, asked: TokenQuery): Promise<Position> {
  const last = (await list({ ...asked, limit: count - 1 })).rows[count - 1]
  if (!last) throw new Error(`there are fewer than ${count}`)
  return { value: last.sortValue, id: last.id }
}

const large = ['tokens', 'token_secrets', 'token_uses']

async function costsOfPage(t: Test, asked: TokenQuery): Promise<Cost> {
  const accessPath = await chooseAccessPath(db, organization, asked)
  const cost = await costOf(db, large, (db) => selectTokens(db, organization, asked, accessPath))
  t.notOk(
    large.some((table) => cost.scanned.includes(table)),
    'no sequential scan',
  )
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
  {
    what: 'revoked tokens',
    filter: { status: 'revoked' },
    quick: [...both('created_at'), ...both('expires_at')],
  },
  { what: 'tokens yet to start', filter: { status: 'not_yet_valid' }, quick: [] },
  { what: 'a common type', filter: { type: 'api' }, quick: everyOrder },
  { what: 'a rare type', filter: { type: 'rare' }, quick: everyOrder, skip: 10 },
  { what: 'an owner', filter: { owner: 'user-78' }, quick: everyOrder, skip: 5 },
  { what: 'names that start alike', filter: { namePrefix: 'TOKEN 77' }, quick: both('name'), skip: 100 },
  { what: 'tokens never used', filter: { neverUsed: true }, quick: both('last_used_at'), skip: 2_000 },
  { what: 'used tokens', filter: { neverUsed: false }, quick: both('last_used_at'), skip: 2_000 },
  { what: 'a month of creation', filter: { created: month }, quick: both('created_at'), skip: 2_000 },
  { what: 'a month of expiry', filter: { expires: month }, quick: both('expires_at'), skip: 2_000 },
  { what: 'a month of use', filter: { lastUsed: month }, quick: both('last_used_at'), skip: 2_000 },
]

for (const { what, filter, quick, skip = 300 } of filters)
  t.test(`the list of ${what} costs only the rows it shows, on every page`, async (t) => {
    for (const order of quick) {
      const asked = query(order, filter)
      const first = await costsOfPage(t, asked)
      const deep = await costsOfPage(t, { ...asked, after: await positionAfter(skip, asked) })
      t.ok(first.sorted <= few && deep.sorted <= few, 'no sort of the whole', { first, deep })
      t.ok(first.examined <= few && deep.examined <= few, name(order), { first, deep })
      // How many rows are skipped per page is random if they are ordered by id.
      const more = Math.max(1, deep.examined / first.examined)
      t.ok(deep.blocks <= 1.5 * more * first.blocks + 20, name(order), { first, deep })
    }
  })

/** What each parameter can ask for: much, little or nothing. */
const values: { filter: Partial<TokenFilter>; isListed: (token: Stored) => boolean }[] = [
  { filter: { status: 'active' }, isListed: ({ status }) => status === 'active' },
  { filter: { status: 'expired' }, isListed: ({ status }) => status === 'expired' },
  { filter: { status: 'revoked' }, isListed: ({ status }) => status === 'revoked' },
  { filter: { status: 'not_yet_valid' }, isListed: ({ status }) => status === 'not_yet_valid' },
  { filter: { type: 'api' }, isListed: ({ type }) => type === 'api' },
  { filter: { type: 'rare' }, isListed: ({ type }) => type === 'rare' },
  { filter: { owner: 'user-78' }, isListed: ({ owner }) => owner === 'user-78' },
  { filter: { owner: 'robot' }, isListed: ({ owner }) => owner === 'robot' },
  { filter: { name: 'DEPLOY' }, isListed: ({ name }) => name === 'Deploy' },
  { filter: { namePrefix: 'TOKEN 77' }, isListed: ({ name }) => name.startsWith('Token 77') },
  { filter: { search: '7A' }, isListed: ({ name }) => name.includes('7a') },
  { filter: { metadata: { team: 'none' } }, isListed: () => false },
  { filter: { neverUsed: true }, isListed: ({ usedAt }) => usedAt === null },
  { filter: { neverUsed: false }, isListed: ({ usedAt }) => usedAt !== null },
  { filter: { rotationDue: true }, isListed: () => false },
  { filter: { created: month }, isListed: ({ createdAt }) => isIn(month, createdAt) },
  { filter: { expires: month }, isListed: ({ expiresAt }) => isIn(month, expiresAt) },
  { filter: { lastUsed: month }, isListed: ({ usedAt }) => isIn(month, usedAt) },
]

type Stored = {
  id: string
  status: string
  type: string
  owner: string | null
  name: string
  createdAt: Date
  expiresAt: Date | null
  usedAt: Date | null
}

function isIn({ from, to }: { from: Date; to: Date }, instant: Date | null): boolean {
  return instant !== null && instant >= from && instant < to
}

const pairs = values.flatMap((one, i) =>
  values.slice(i + 1).flatMap((other) => {
    const [first] = Object.keys(one.filter)
    return first !== undefined && first in other.filter ? [] : { one, other }
  }),
)

t.test('every page examines a bounded number of tokens, whatever the filters and the order', async (t) => {
  // PostgreSQL sorts a part that is hardly larger than that.
  const most = 2 * maxExamined
  const filters = [
    ...values.map(({ filter }) => filter),
    ...pairs.map(({ one, other }) => ({ ...one.filter, ...other.filter })),
  ]
  for (const [i, filter] of filters.entries())
    for (const [j, sort] of sorts.entries()) {
      const asked = query({ sort, descending: (i + j) % 2 === 0 }, filter)
      const what = `${name(asked)} ${JSON.stringify(filter)}`
      const choice = await costOf(db, large, (db) => chooseAccessPath(db, organization, asked)).catch(
        notAsked,
      )
      // At most six indexes have an answer to two filters.
      if (choice)
        t.ok(
          choice.examined <= 6 * 2_001 && !large.some((table) => choice.scanned.includes(table)),
          what,
          choice,
        )
      const page = await costsOfPage(t, asked)
      t.ok(page.examined <= most && page.sorted <= most, what, page)
    }
})

t.test('pages with any two filters list each token that passes both, once and in order', async (t) => {
  const stored = await everyToken()
  for (const [i, { one, other }] of pairs.entries()) {
    const expected = stored.filter((token) => one.isListed(token) && other.isListed(token))
    // Each value is in several of these; all pairs would take a minute.
    if (i % 6 > 0 || expected.length > 3_000) continue
    const order = everyOrder[i % everyOrder.length] as Order
    const asked = query(order, { ...one.filter, ...other.filter }, { limit: 200 })
    const seen: Position[] = []
    let after: Position | undefined
    do {
      const { rows, resume } = await list({ ...asked, ...(after && { after }) })
      const shown = rows.slice(0, asked.limit)
      seen.push(...shown.map(({ sortValue: value, id }) => ({ value, id })))
      after = rows.length > shown.length ? seen.at(-1) : resume
    } while (after)
    const what = `${name(order)} ${JSON.stringify({ ...one.filter, ...other.filter })}`
    t.same(seen.map(({ id }) => id).toSorted(), expected.map(({ id }) => id).toSorted(), what)
  }
})

/** If one index answers all filters, there is nothing to choose. */
function notAsked(error: Error): void {
  if (error.message !== 'nothing was asked') throw error
}

async function everyToken(): Promise<Stored[]> {
  const rows = await db
    .selectFrom('tokens')
    .innerJoin('tokenUses', 'tokenUses.tokenId', 'tokens.id')
    .select([
      'tokens.id',
      'type',
      'ownerSubject as owner',
      'name',
      'notBefore',
      'expiresAt',
      'revokedAt',
      'createdAt',
    ])
    .select('tokenUses.lastUsedAt as usedAt')
    .execute()
  return rows.map((row) => ({ ...row, status: statusOf(row, now) }))
}

import { type RawBuilder, type SqlBool, sql } from 'kysely'
import type { Db } from '../../db/database.ts'
import type { Status } from '../../shared/status.ts'

export const sorts = ['created_at', 'name', 'expires_at', 'last_used_at'] as const
export type Sort = (typeof sorts)[number]

/** From the first instant, inclusive, to the second, exclusive; either may be missing. */
export type Range = { from?: Date; to?: Date }

export type TokenFilter = {
  status?: Status
  type?: string
  /** The subject of the owner. */
  owner?: string
  /** The whole name, in any case. */
  name?: string
  /** The start of the name, in any case. */
  namePrefix?: string
  /** Any part of the name or the comment, in any case. */
  search?: string
  /** Members that the metadata has, with these values. */
  metadata?: Record<string, unknown>
  neverUsed?: boolean
  rotationDue?: boolean
  created: Range
  expires: Range
  lastUsed: Range
}

export type TokenQuery = TokenFilter & {
  sort: Sort
  descending: boolean
  /** Only tokens after this position, in the order of the list. */
  after?: Position
  limit: number
  now: Date
}

/** A token's position in a sorted list: the value of the sort key as text, then the id. */
export type Position = { value: string; id: string }

export type Condition = RawBuilder<SqlBool>

// Each must be the expression of an index in the migrations.
export const createdAt = sql`created_at`
export const expiresAt = sql`coalesce(expires_at, 'infinity')`
// Names with the same first 200 characters are ordered by id.
const nameStart = sql`left(lower(name), 200) collate "C"`
const lastUsedAt = sql`coalesce(last_used_at, '-infinity')`
const nameKey = sql`lower(normalize(name))`
const nameHash = sql`hashtextextended(${nameKey}, 0)`

export const sortKeys = {
  created_at: { key: createdAt, type: sql`timestamptz` },
  name: { key: nameStart, type: sql`text` },
  expires_at: { key: expiresAt, type: sql`timestamptz` },
  last_used_at: { key: lastUsedAt, type: sql`timestamptz` },
}

/** A part of the tokens that has an index of its own. */
type Part = 'owner' | 'type' | 'revoked' | 'unrevoked' | 'named' | 'starting'

/** A condition of the list and, if an index can answer it, the part that it selects or the sort key that it bounds. */
type Term = {
  condition: Condition
  about?: Part | Sort
  side?: 'lower' | 'upper'
  /** The instant of the bound, if it moves from page to page. */
  moving?: Date
}

/** An index of all tokens of an organization, or of a part of them. */
type Index = { part?: Part; order: Sort | RawBuilder<unknown> }

// An index of a part comes before that of all tokens, which answers no more conditions.
const indexes: Index[] = [
  { part: 'owner', order: 'created_at' },
  { part: 'type', order: 'created_at' },
  { part: 'revoked', order: 'created_at' },
  { order: 'created_at' },
  { part: 'revoked', order: 'expires_at' },
  { part: 'unrevoked', order: 'expires_at' },
  { order: 'expires_at' },
  { order: 'name' },
  { order: 'last_used_at' },
  { part: 'named', order: nameHash },
  { part: 'starting', order: sql`not_before` },
]

/**
 * How a list finds its tokens: `inOrder`, along an index in the order of the list, or all those of another index, which
 * are few and are then sorted.
 */
export type AccessPath = { index: Index; inOrder: boolean }

/** A page examines at most this many tokens. */
export const maxExamined = 5_000

/** If an index has no more tokens than this for the conditions, all of them are read and sorted. */
const few = 2_000

/**
 * PostgreSQL estimates how many tokens satisfy the conditions, and reads all tokens of an organization if it is wrong.
 * So the choice is made here, by counting the rows in each index, up to `few`.
 */
export async function chooseAccessPath(
  db: Db,
  organizationId: string,
  query: TokenQuery,
): Promise<AccessPath> {
  const terms = termsOf(organizationId, query)
  const usable = indexes.filter(({ part }) => part === undefined || terms.some(({ about }) => about === part))
  const answers = (index: Index) => terms.filter((term) => isAnswered(term, index)).length
  const along = usable
    .filter(({ order }) => order === query.sort)
    .reduce((best, other) => (answers(other) > answers(best) ? other : best))
  const selective = usable.filter((index) => answers(index) > 0)
  if (answers(along) === terms.length || selective.length === 0) return { index: along, inOrder: true }
  const counts = selective.map((index) => countOf(organizationId, terms, index))
  const { rows } = await sql<{ counts: number[] }>`select array[${sql.join(counts)}] as counts`.execute(db)
  const found = rows[0]?.counts ?? []
  const least = Math.min(...found)
  const index = least <= few ? selective[found.indexOf(least)] : undefined
  return index ? { index, inOrder: false } : { index: along, inOrder: true }
}

function countOf(organizationId: string, terms: Term[], index: Index): RawBuilder<number> {
  const answered = terms.filter((term) => isAnswered(term, index)).map(({ condition }) => condition)
  return sql`(
    select count(*)::int from (
      select from ${isOfUses(index) ? sql`token_uses` : sql`tokens`}
      where organization_id = ${organizationId} and ${all(answered)} order by ${keyOf(index)} limit ${few + 1}
    ) as found
  )`
}

function isAnswered({ about }: Term, { part, order }: Index): boolean {
  return about !== undefined && (about === part || about === order)
}

function isOfUses({ order }: Index): boolean {
  return order === 'last_used_at'
}

function keyOf({ order }: Index): RawBuilder<unknown> {
  return typeof order === 'string' ? sortKeys[order].key : order
}

/** The conditions that no index answers by this access path; they are about the columns of `examinedTokens`. */
export function otherConditions(
  organizationId: string,
  query: TokenQuery,
  { index }: AccessPath,
): Condition[] {
  return termsOf(organizationId, query).flatMap((term) => (isAnswered(term, index) ? [] : term.condition))
}

/** The tokens that a page examines, at most `limit`; with a comment only for a search, which reads it. */
export function examinedTokens(
  organizationId: string,
  query: TokenQuery,
  accessPath: AccessPath,
  limit: number,
): RawBuilder<unknown> {
  const { sort, descending, after, search } = query
  const { index, inOrder } = accessPath
  const { key, type } = sortKeys[sort]
  const ofUses = isOfUses(index)
  const id = ofUses ? sql`token_id` : sql`id`
  const columns = sql`name, metadata, type, owner_subject, not_before, expires_at, revoked_at, created_at
    ${search === undefined ? sql`` : sql`, comment`}`
  const direction = descending ? sql`desc` : sql`asc`
  const behind = (position: Position, id: RawBuilder<unknown>, key: RawBuilder<unknown>) =>
    sql<SqlBool>`(${key}, ${id}) ${descending ? sql`<` : sql`>`} (${position.value}::${type}, ${position.id}::uuid)`
  const answered = termsOf(organizationId, query).filter((term) => isAnswered(term, index))
  const start = descending ? 'upper' : 'lower'
  const starts = answered.filter(({ about, side }) => about === sort && side === start)
  // PostgreSQL would start reading at the bound rather than at the cursor, which is behind it unless time has moved the bound.
  const isPassed = after && !starts.some(({ moving }) => moving && new Date(after.value) < moving)
  const conditions = answered
    .filter((term) => !(inOrder && isPassed && starts.includes(term)))
    .map(({ condition }) => condition)
  const read = sql`
    select organization_id, ${id} as id, ${ofUses ? sql`last_used_at` : columns} ${inOrder ? sql`, ${key} as sort_key` : sql``}
    from ${ofUses ? sql`token_uses` : sql`tokens`}
    where organization_id = ${organizationId} and ${all(conditions)}
      ${inOrder && isPassed ? sql`and ${behind(after, id, key)}` : sql``}
    order by ${inOrder ? sql`${key} ${direction}, ${id} ${direction}` : keyOf(index)} limit ${limit}`
  // The limits make PostgreSQL look up the rows: it might join both tables as a whole otherwise.
  const both = ofUses
    ? sql`select read.*, ${columns} from (${read}) as read cross join lateral (
        select ${columns} from tokens
        where tokens.organization_id = read.organization_id and tokens.id = read.id limit 1
      ) as token`
    : readsUses(query)
      ? sql`select read.*, last_used_at from (${read}) as read left join lateral (
          select last_used_at from token_uses
          where token_uses.organization_id = read.organization_id and token_id = read.id limit 1
        ) as uses on true`
      : read
  if (inOrder) return both
  const sorted = sql`select *, ${key} as sort_key from (${both}) as read`
  return after
    ? sql`select * from (${sorted}) as sorted where ${behind(after, sql`id`, sql`sort_key`)}`
    : sorted
}

function readsUses({ sort, neverUsed, lastUsed: { from, to } }: TokenQuery): boolean {
  return sort === 'last_used_at' || neverUsed !== undefined || from !== undefined || to !== undefined
}

export function all(conditions: Condition[]): Condition {
  return conditions.length > 0 ? sql`${sql.join(conditions, sql` and `)}` : sql`true`
}

/** Includes the SQL counterpart of `statusOf`. */
function termsOf(organizationId: string, query: TokenQuery): Term[] {
  const { status, type, owner, name, namePrefix, neverUsed, created, expires, lastUsed } = query
  return [
    ...(status === undefined ? [] : statusTerms(status, query.now)),
    ...(type === undefined ? [] : [{ condition: sql<SqlBool>`type = ${type}`, about: 'type' as const }]),
    ...(owner === undefined
      ? []
      : [{ condition: sql<SqlBool>`owner_subject = ${owner}`, about: 'owner' as const }]),
    ...(name === undefined ? [] : [{ condition: hasName(name), about: 'named' as const }]),
    ...(namePrefix === undefined ? [] : nameTerms(namePrefix)),
    ...within(created, 'created_at'),
    ...within(expires, 'expires_at'),
    ...within(lastUsed, 'last_used_at'),
    ...(neverUsed === undefined ? [] : [useTerm(neverUsed)]),
    ...filterTerms(organizationId, query),
  ]
}

function statusTerms(status: Status, now: Date): Term[] {
  if (status === 'revoked') return [{ condition: sql`revoked_at is not null`, about: 'revoked' }]
  const unrevoked: Term = { condition: sql`revoked_at is null`, about: 'unrevoked' }
  const about = 'expires_at'
  if (status === 'expired')
    return [unrevoked, { condition: sql`${expiresAt} <= ${now}`, about, side: 'upper' }]
  const unexpired: Term = { condition: sql`${expiresAt} > ${now}`, about, side: 'lower', moving: now }
  return status === 'not_yet_valid'
    ? [unrevoked, unexpired, { condition: sql`not_before > ${now}`, about: 'starting' }]
    : [unrevoked, unexpired, { condition: sql`(not_before is null or not_before <= ${now})` }]
}

/** By the index that has the hashes of names, which may be too long for an index. */
function hasName(name: string): Condition {
  return sql`${nameHash} = hashtextextended(lower(${name}), 0) and ${nameKey} = lower(${name})`
}

/** In byte order, everything that starts with a text lies between the text and the text followed by the last character. */
function nameTerms(start: string): Term[] {
  const lower = sql`left(lower(${start}), 200)`
  return [
    { condition: sql`${nameStart} >= ${lower}`, about: 'name', side: 'lower' },
    { condition: sql`${nameStart} < ${lower} || ${'\u{10FFFF}'}`, about: 'name', side: 'upper' },
  ]
}

/** An event that never happens is at infinity, outside every range. */
function within({ from, to }: Range, about: 'created_at' | 'expires_at' | 'last_used_at'): Term[] {
  if (from === undefined && to === undefined) return []
  const { key } = sortKeys[about]
  return [
    { condition: from ? sql`${key} >= ${from}` : sql`${key} > '-infinity'`, about, side: 'lower' },
    { condition: to ? sql`${key} < ${to}` : sql`${key} < 'infinity'`, about, side: 'upper' },
  ]
}

function useTerm(never: boolean): Term {
  const about = 'last_used_at'
  return never
    ? { condition: sql`${lastUsedAt} <= '-infinity'`, about, side: 'upper' }
    : { condition: sql`${lastUsedAt} > '-infinity'`, about, side: 'lower' }
}

/** The conditions that no index answers. */
function filterTerms(organizationId: string, { search, metadata, rotationDue, now }: TokenQuery): Term[] {
  const found = sql<SqlBool>`(position(lower(${search}) in lower(name)) > 0 or position(lower(${search}) in lower(comment)) > 0)`
  return [
    ...(metadata === undefined
      ? []
      : [{ condition: sql<SqlBool>`metadata @> ${JSON.stringify(metadata)}::jsonb` }]),
    ...(rotationDue === undefined ? [] : [{ condition: isRotationDue(organizationId, rotationDue, now) }]),
    ...(search === undefined ? [] : [{ condition: found }]),
  ]
}

/**
 * Without `every_days` nothing is due: the comparison with null is not true. The secret is looked up by a subquery with a
 * limit and not by `exists`, for which PostgreSQL might read the secrets of all organizations.
 */
function isRotationDue(organizationId: string, expected: boolean, now: Date): Condition {
  const due: Condition = sql`revoked_at is null and coalesce(expires_at, 'infinity') > ${now} and coalesce((
    select token_secrets.created_at from token_secrets
    where token_secrets.organization_id = tokens.organization_id and token_id = tokens.id
      and superseded_at is null and lapses_at is null limit 1
  ) <= (
    select ${now}::timestamptz - make_interval(days => (policy -> 'rotation' ->> 'every_days')::integer)
    from organizations where id = ${organizationId}
  ), false)`
  return expected ? sql`(${due})` : sql`not (${due})`
}

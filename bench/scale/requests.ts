import { ask } from '../http.ts'
import { organization, type Seeded, tokenType } from '../seed.ts'
import type { Service } from '../service.ts'
import { leaver } from './fill.ts'

type Target = { service: Service; seeded: Seeded; tokens: number }

const organizationUrl = `/v1/organizations/${organization}`
const tokensUrl = `${organizationUrl}/tokens`
const day = 24 * 60 * 60 * 1000
const at = (days: number) => new Date(Date.now() + days * day).toISOString()

const sorts = ['created_at', 'name', 'expires_at', 'last_used_at'].flatMap((sort) => [sort, `-${sort}`])

/** Every filter of the list, with values that few, most or no tokens have. */
const filters: Record<string, string>[] = [
  { status: 'active' },
  { status: 'expired' },
  { status: 'revoked' },
  { status: 'not_yet_valid' },
  { type: tokenType },
  { type: 'rare' },
  { owner: 'user-10' },
  { owner: 'robot' },
  { name: 'deploy' },
  { name: 'Nothing' },
  { name_prefix: 'token' },
  { name_prefix: 'token 77' },
  { search: 'nightly' },
  { search: 'nowhere' },
  { metadata: '{"team":"team-3"}' },
  { metadata: '{"team":"none"}' },
  { never_used: 'true' },
  { never_used: 'false' },
  { rotation_due: 'true' },
  { rotation_due: 'false' },
  { created_from: at(-400), created_to: at(-370) },
  { expires_from: at(0), expires_to: at(7) },
  { expires_from: at(-600), expires_to: at(-100) },
  { last_used_from: at(-30), last_used_to: at(0) },
]

const pairs = filters.flatMap((one, i) =>
  filters.slice(i + 1).flatMap((other) => {
    const shared = Object.keys(one).some((name) => name in other)
    return shared ? [] : [{ ...one, ...other }]
  }),
)

export type Measured = { what: string; ms: number; note?: string }

async function request(
  { service: { port }, seeded: { admin: token } }: Target,
  path: string,
  { method = 'GET', json }: { method?: 'GET' | 'POST' | 'PUT'; json?: unknown } = {},
) {
  const start = performance.now()
  const { status, body } = await ask(port, method, path, { token, ...(json !== undefined && { json }) })
  const ms = performance.now() - start
  if (status >= 300) throw new Error(`${method} ${path} answered ${status} ${body.slice(0, 200)}`)
  return { ms, body }
}

/** The fastest of several, the first of which warms the caches: other work on the machine can only add to it. */
async function fastest(times: number, once: () => Promise<{ ms: number }>): Promise<number> {
  await once()
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < times; i++) least = Math.min(least, (await once()).ms)
  return least
}

const get = (target: Target, path: string, times = 4) => fastest(times, () => request(target, path))

/** The slowest order of the list with these filters. */
async function slowestList(
  target: Target,
  lists: Record<string, string>[],
  times: number,
): Promise<Measured> {
  let slowest: Measured = { what: '', ms: 0 }
  for (const [i, filter] of lists.entries())
    for (const [j, sort] of sorts.entries()) {
      // All orders of all pairs would take twice as long and say no more.
      if (lists === pairs && (i + j) % 2 > 0) continue
      const query = new URLSearchParams({ ...filter, sort })
      let ms = await get(target, `${tokensUrl}?${query}`, times)
      // A slow result may have been disturbed by other work.
      if (ms > slowest.ms) ms = Math.min(ms, await get(target, `${tokensUrl}?${query}`, 4))
      if (ms > slowest.ms) slowest = { what: '', ms, note: decodeURIComponent(String(query)) }
    }
  return slowest
}

export async function measureLists(target: Target): Promise<Measured[]> {
  const rows: Measured[] = [{ ...(await slowestList(target, [{}], 2)), what: 'all tokens, slowest order' }]
  for (const filter of filters) {
    const what = Object.entries(filter)
      .map(([name, value]) => `${name}=${value.replace(/T.*Z$/, '')}`)
      .join(', ')
    rows.push({ ...(await slowestList(target, [filter], 2)), what: `${relative(what)}, slowest order` })
  }
  const two = `any two of these filters, the slowest of ${(pairs.length * sorts.length) / 2}`
  rows.push({ ...(await slowestList(target, pairs, 1)), what: two })
  rows.push({ what: 'page 20 of 200, slowest order', ...(await deepPage(target)) })
  return rows
}

/** Dates differ from run to run. */
function relative(what: string): string {
  return what.replace(/\d{4}-\d\d-\d\d/g, (date) => {
    const days = Math.round((Date.parse(date) - Date.now()) / day)
    return days < 0 ? `${-days} days ago` : `in ${days} days`
  })
}

async function deepPage(target: Target): Promise<{ ms: number; note: string }> {
  let slowest = { ms: 0, note: '' }
  for (const sort of sorts) {
    let path = `${tokensUrl}?sort=${sort}&limit=200`
    const first = path
    for (let i = 1; i < 20; i++) {
      const { next_cursor: cursor } = JSON.parse((await request(target, path)).body)
      if (cursor === null) break
      path = `${first}&cursor=${encodeURIComponent(cursor)}`
    }
    const ms = await get(target, path)
    if (ms > slowest.ms) slowest = { ms, note: `sort=${sort}` }
  }
  return slowest
}

/** Other requests that read or change an organization. Each must take the same time in a larger one. */
export async function measureOperations(target: Target): Promise<Measured[]> {
  const rows: Measured[] = []
  const add = async (what: string, ms: Promise<number>, note?: string) =>
    rows.push({ what, ms: await ms, ...(note && { note }) })
  await add('counts by status', get(target, `${tokensUrl}/counts`))
  for (const reason of ['expiring', 'never_used', 'unused', 'rotation_due']) {
    await add(
      `attention in the organization: ${reason}`,
      get(target, `/v1/attention?organization=${organization}&reason=${reason}`),
    )
    await add(`attention in all: ${reason}`, get(target, `/v1/attention?reason=${reason}`))
  }
  await add('attention counts', get(target, '/v1/attention/counts'))
  await add('owners', get(target, `${organizationUrl}/owners`))
  await add('change log, first page', get(target, `${organizationUrl}/audit-events`))
  await add('change log, export of 20,000 events', exportOf(target, 20_000))
  await add('revocation feed, a page of 1,000 events', feed(target))
  const create = () => fastest(20, () => request(target, tokensUrl, { method: 'POST', json: newToken }))
  const setPolicy = (limits: object) =>
    request(target, `${organizationUrl}/policy`, { method: 'PUT', json: { ...policy, limits } })
  await add('create', create())
  const limit = { active_per_organization: 1_000_000 }
  const tight = await setPolicy(limit)
  rows.push({ what: 'policy change: a limit for the organization', ms: tight.ms })
  await add('create with a limit for the organization', create())
  await add('list with a limit for the organization', get(target, tokensUrl))
  await add('options with a limit for the organization', get(target, `${tokensUrl}/options`))
  await setPolicy({ active_per_owner: 1_000_000 })
  const owner = { subject: 'robot', identity_source: 'internal' }
  const createOwned = () =>
    fastest(20, () => request(target, tokensUrl, { method: 'POST', json: { ...newToken, owner } }))
  await add('create with a limit for each owner, for the owner of a tenth', createOwned())
  await setPolicy({})
  await add(
    'suspend and resume the organization',
    fastest(4, async () => {
      const one = await request(target, `${organizationUrl}/suspend`, { method: 'POST' })
      const other = await request(target, `${organizationUrl}/resume`, { method: 'POST' })
      return { ms: one.ms + other.ms }
    }),
  )
  const revoked = await request(target, `${organizationUrl}/owners/${leaver}/revoke-tokens`, {
    method: 'POST',
  })
  rows.push({ what: 'revoke all tokens of an owner', ms: revoked.ms, note: revoked.body.slice(0, 60) })
  return rows
}

const policy = { rotation: { every_days: 60 } }
const newToken = { name: 'Made', type: tokenType }

async function exportOf(target: Target, events: number): Promise<number> {
  const days = (events / (target.tokens / 5)) * 730
  const query = new URLSearchParams({ from: at(-Math.min(days, 740)), to: at(0) })
  return get(target, `${organizationUrl}/audit-events/export?${query}`, 2)
}

async function feed(target: Target): Promise<number> {
  const { cursor } = JSON.parse((await request(target, '/v1/revocations')).body)
  const first = String(cursor).replace(/\d+$/, (last) => String(Number(last) - 2_000))
  return get(target, `/v1/revocations?limit=1000&since=${first}`)
}

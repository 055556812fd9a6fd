import t from 'tap'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue } = world
const list = (organization: string) => `/v1/organizations/${organization}/tokens`
const next = ({ headers }: { headers: Record<string, string> }) =>
  /^<(.+)>; rel="next"$/.exec(headers.link ?? '')?.[1]

async function organizationOf(key: string, names: string[]): Promise<Map<string, string>> {
  await ask('POST', '/v1/organizations', { body: { key, name: key } })
  const ids = new Map<string, string>()
  for (const name of names) ids.set(name, (await issue({ name }, key)).id)
  return ids
}

async function pages(url: string, between: () => Promise<unknown> = async () => {}): Promise<string[][]> {
  const names: string[][] = []
  for (let at: string | undefined = url; at; ) {
    const page = await ask('GET', at)
    if (page.status !== 200) throw new Error(page.text)
    names.push(page.body.items.map((item: any) => item.name))
    at = next(page)
    if (at) await between()
  }
  return names
}

const letters = [...'abcdefghij']

t.test('pages show every token once, in every order, whatever their size', async (t) => {
  await organizationOf('paged', letters)
  for (const sort of ['created_at', 'name', 'expires_at', 'last_used_at']) {
    for (const order of [sort, `-${sort}`]) {
      const whole = (await pages(`${list('paged')}?sort=${order}`)).flat()
      t.same(whole.toSorted(), letters, order)
      for (const limit of [1, 3, 10]) {
        const read = await pages(`${list('paged')}?sort=${order}&limit=${limit}`)
        t.same(read.flat(), whole, `${order} by ${limit}`)
        t.ok(read.every((page) => page.length <= limit && page.length > 0))
      }
    }
  }
})

t.test('a search lists in the order of last use what the list without it does', async (t) => {
  const ids = await organizationOf('sought', [...letters, 'revoked'])
  await ask('POST', `${list('sought')}/${ids.get('revoked')}/revoke`)
  await ask('POST', '/v1/token-types', { body: { name: 'other', prefix: 'oth' } })
  await issue({ name: 'of another type', type: 'other' }, 'sought')
  await world.sql(
    `update token_uses set last_used_at = timestamptz '2026-03-01T12:00:00Z' - ascii(name) % 4 * interval '1 hour'
     from tokens where token_id = id and name < 'g'`,
  )
  for (const query of ['status=active&type=api', 'status=active&last_used_from=2026-03-01T10:00:00Z'])
    for (const sort of ['last_used_at', '-last_used_at']) {
      const whole = (await pages(`${list('sought')}?${query}&sort=${sort}`)).flat()
      t.ok(whole.length >= 3)
      const found = await pages(`${list('sought')}?${query}&sort=${sort}&metadata=%7B%7D&limit=3`)
      t.same(found.flat(), whole, `${query} ${sort}`)
    }
})

t.test(
  'tokens created and deleted while paging, including the last one of a page, hide and repeat no others',
  async (t) => {
    const ids = await organizationOf('moving', letters)
    let turn = 0
    const read = await pages(`${list('moving')}?sort=name&limit=2`, async () => {
      turn++
      const gone = letters[turn * 2 - 1] as string
      await ask('DELETE', `${list('moving')}/${ids.get(gone)}`)
      await issue({ name: `a new one ${turn}` }, 'moving')
    })
    t.same(read.flat(), letters)
  },
)

t.test('the page size may change while paging', async (t) => {
  const first = await ask('GET', `${list('paged')}?sort=name&limit=2`)
  const rest = await ask('GET', `${list('paged')}?sort=name&limit=200&cursor=${first.body.next_cursor}`)
  t.same(
    rest.body.items.map((item: any) => item.name),
    letters.slice(2),
  )
  t.equal(rest.body.next_cursor, null)
})

t.test('names of any length and script work as positions', async (t) => {
  const names = ['\u{1D11E}'.repeat(1000), `${'\u200f'.repeat(999)}x`, 'İ'.repeat(1000), '"\\'.repeat(500)]
  await organizationOf('odd', names)
  const read = await pages(`${list('odd')}?sort=name&limit=1`)
  t.same(read.flat().toSorted(), names.toSorted())
})

t.test('a cursor is valid only for its list: same organization, order and filters', async (t) => {
  const cursor = (await ask('GET', `${list('paged')}?sort=name&limit=2`)).body.next_cursor
  for (const url of [
    `${list('moving')}?sort=name`,
    `${list('paged')}?sort=-name`,
    `${list('paged')}`,
    `${list('paged')}?sort=name&status=active`,
    `${list('paged')}?sort=name&search=a`,
    '/v1/organizations?',
    '/v1/organizations/paged/audit-events?',
  ]) {
    const answer = await ask('GET', `${url}${url.includes('?') ? '&' : '?'}cursor=${cursor}`)
    t.equal(answer.status, 400, url)
    t.match(answer.body, { code: 'invalid_request', errors: [{ in: 'query', field: 'cursor' }] })
  }
})

t.test('the last page has no cursor', async (t) => {
  const answer = await ask('GET', `${list('paged')}?limit=10`)
  t.equal(answer.body.next_cursor, null)
  t.equal(answer.headers.link, undefined)
})

t.test('a cursor stays valid as time passes', async (t) => {
  const first = await ask('GET', `${list('paged')}?sort=name&limit=2`)
  world.clock.advance(400 * day)
  t.equal((await ask('GET', next(first) ?? '')).status, 200)
})

import { getStatusListFromJWT } from '@sd-jwt/jwt-status-list'
import t from 'tap'
import { listSize } from '../../src/status-lists/allocate.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
await world.ask('POST', '/v1/token-types', { body: { name: 'listed', format: 'jwt', status_list: true } })
await world.ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })

async function allocate(organization = 'default') {
  return getStatusListFromJWT((await world.issue({ type: 'listed' }, organization)).secret)
}

t.test('tokens created at the same time, including the first ones, share a list but no index', async (t) => {
  const indexes = await Promise.all(Array.from({ length: 20 }, () => allocate()))
  t.equal(new Set(indexes.map(({ uri }) => uri)).size, 1)
  t.equal(new Set(indexes.map(({ idx }) => idx)).size, 20)
  const { rows } = await world.sql('select free from status_lists')
  t.same(rows, [{ free: listSize / 2 - 20 }])
})

t.test('an index reveals no order: indexes are spread randomly over the list', async (t) => {
  const indexes = []
  for (let i = 0; i < 40; i++) indexes.push((await allocate()).idx)
  t.notSame(
    indexes,
    [...indexes].sort((a, b) => a - b),
  )
  t.ok(indexes.some((idx) => idx > listSize / 2) && indexes.some((idx) => idx < listSize / 2))
})

t.test('every organization has its own lists', async (t) => {
  t.not((await allocate('other')).uri, (await allocate()).uri)
})

t.test('a used index is not assigned again, however full the list is', async (t) => {
  const { uri } = await allocate('other')
  const list = uri.split('/').at(-1)
  await world.sql('delete from status_list_entries where list_id = $1', [list])
  await world.sql(
    `insert into status_list_entries (list_id, idx, token_id)
      select $1, idx, gen_random_uuid() from generate_series(0, 63) as idx`,
    [list],
  )
  await world.sql('update status_lists set size = 72 where id = $1', [list])
  const given = []
  for (let i = 0; i < 8; i++) given.push((await allocate('other')).idx)
  t.same(
    given.sort((a, b) => a - b),
    [64, 65, 66, 67, 68, 69, 70, 71],
  )
})

t.test('when half of a list is used, one of the concurrent requests starts another one', async (t) => {
  const { uri } = await allocate()
  await world.sql('update status_lists set free = 1 where id = $1', [uri.split('/').at(-1)])
  const lists = (await Promise.all(Array.from({ length: 10 }, () => allocate()))).map((place) => place.uri)
  t.equal(lists.filter((list) => list === uri).length, 1)
  t.equal(new Set(lists).size, 2)
  t.equal(
    (await allocate()).uri,
    lists.find((list) => list !== uri),
  )
})

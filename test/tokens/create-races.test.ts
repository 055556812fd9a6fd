import { sql, type Transaction } from 'kysely'
import t from 'tap'
import type { Tables } from '../../src/db/tables.ts'
import { behind } from '../support/behind.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask } = world
let made = 0

/** An organization and a type for the test, with a create that waits for a concurrent `change` to either. */
async function mergeEntry(type: object = {}) {
  const name = `race-${++made}`
  await ask('POST', '/v1/organizations', { body: { key: name, name } })
  await ask('POST', '/v1/token-types', { body: { name, format: 'opaque', prefix: 'race', ...type } })
  const url = `/v1/organizations/${name}`
  const create = () => ask('POST', `${url}/tokens`, { body: { name: 'A token', type: name } })
  const createBehind = (change: (tx: Transaction<Tables>) => Promise<unknown>) =>
    behind(world.db, change, create)
  const events = async () => (await ask('GET', `${url}/audit-events?action=token.created`)).body.items
  return { name, url, createBehind, events }
}

t.test('a create concurrent with a suspension of its organization creates nothing', async (t) => {
  const { name, createBehind, events } = await mergeEntry()
  const answer = await createBehind((tx) =>
    sql`update organizations set suspended_at = now() where key = ${name}`.execute(tx),
  )
  t.match(answer, { status: 409, body: { code: 'suspended', detail: /organization/ } })
  t.same(await events(), [])
})

t.test('a create concurrent with a suspension of its type creates nothing', async (t) => {
  const { name, createBehind, events } = await mergeEntry()
  const answer = await createBehind((tx) =>
    sql`update token_types set suspended_at = now() where name = ${name}`.execute(tx),
  )
  t.match(answer, { status: 409, body: { code: 'suspended', detail: /type/ } })
  t.same(await events(), [])
})

t.test('a create concurrent with a deletion of its organization is a 404', async (t) => {
  const { name, createBehind } = await mergeEntry()
  const answer = await createBehind((tx) => tx.deleteFrom('organizations').where('key', '=', name).execute())
  t.match(answer, { status: 404, body: { code: 'not_found' } })
})

t.test('a create concurrent with a deletion of its type is rejected by field', async (t) => {
  const { name, createBehind, events } = await mergeEntry()
  const answer = await createBehind((tx) => tx.deleteFrom('tokenTypes').where('name', '=', name).execute())
  t.match(answer, { status: 422, body: { code: 'invalid_value', errors: [{ field: 'type' }] } })
  t.same(await events(), [])
})

t.test('a create concurrent with an edit of its type uses the edited type, once', async (t) => {
  const { name, createBehind, events } = await mergeEntry({ default_scopes: ['before'] })
  const answer = await createBehind((tx) =>
    sql`update token_types set default_scopes = '{after}' where name = ${name}`.execute(tx),
  )
  t.match(answer, { status: 201, body: { scopes: ['after'] } })
  t.match(await events(), [{ target: { id: answer.body.id } }])
})

t.test('creates do not block each other, nor readers of their organization', async (t) => {
  const { name, url } = await mergeEntry()
  await world.db.transaction().execute(async (tx) => {
    await sql`select from organizations where key = ${name} for share`.execute(tx)
    const answer = await ask('POST', `${url}/tokens`, { body: { name: 'A token', type: name } })
    t.equal(answer.status, 201)
  })
})

import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)

t.test('a created token shows its secret once, and introspects as active', async (t) => {
  const created = await world.issue({ name: 'First', scopes: ['read'] })
  t.match(created.secret, /^api_[0-9A-Za-z]{36}$/)
  t.match(await world.introspect(created.secret), { active: true, scope: 'read', token_name: 'First' })
  const read = await world.ask('GET', `/v1/organizations/default/tokens/${created.id}`)
  t.equal(read.status, 200)
  t.notOk(read.text.includes(created.secret))
})

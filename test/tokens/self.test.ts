import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue } = world

t.test('the holder of a token can read it', async (t) => {
  const { id, secret } = await issue({ name: 'Mine', type: 'mcp' })
  const self = await ask('GET', '/v1/self', { token: secret })
  t.match(self, { status: 200, body: { id, name: 'Mine', type: 'mcp', status: 'active' } })
  t.notOk(self.text.includes(secret))
})

t.test('the holder of a token can revoke it without any permission', async (t) => {
  const { secret } = await issue()
  const revoked = await ask('POST', '/v1/self/revoke', { token: secret, body: { reason: 'Found in a log' } })
  t.match(revoked, {
    status: 200,
    body: { status: 'revoked', revoked_reason: 'Found in a log', revoked_by: { type: 'token' } },
  })
  t.same(await world.introspect(secret), { active: false })
  t.equal((await ask('GET', '/v1/self', { token: secret })).status, 401)
})

import { sql, type Transaction } from 'kysely'
import t from 'tap'
import type { Tables } from '../../src/db/tables.ts'
import { behind } from '../support/behind.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue } = world
const urlOf = (id: string) => `/v1/organizations/default/tokens/${id}`

/** The response to a revocation that has to wait for `change`. */
function revokeBehind(id: string, change: (tx: Transaction<Tables>) => Promise<unknown>) {
  return behind(world.db, change, () => ask('POST', `${urlOf(id)}/revoke`, { body: { reason: 'behind' } }))
}

async function revocationsOf(id: string) {
  const { body } = await ask(
    'GET',
    `/v1/organizations/default/audit-events?action=token.revoked&target=${id}`,
  )
  return body.items
}

t.test('a revocation concurrent with an edit is applied on top of it, and recorded once', async (t) => {
  const { id, secret } = await issue()
  const answer = await revokeBehind(id, (tx) =>
    sql`update tokens set name = 'Edited', version = version + 1 where id = ${id}`.execute(tx),
  )
  t.match(answer, { status: 200, body: { status: 'revoked', name: 'Edited', revoked_reason: 'behind' } })
  t.match((await ask('GET', urlOf(id))).headers.etag, '"3"')
  t.equal((await revocationsOf(id)).length, 1)
  t.same(await world.introspect(secret), { active: false })
})

t.test('of two concurrent revocations the first is recorded, and both return it', async (t) => {
  const { id } = await issue()
  const answer = await revokeBehind(id, (tx) =>
    sql`update tokens set revoked_at = now(), revoked_reason = 'before', version = version + 1
      where id = ${id}`.execute(tx),
  )
  t.match(answer, { status: 200, body: { status: 'revoked', revoked_reason: 'before' } })
  t.same(await revocationsOf(id), [], 'what did not happen is not recorded')
})

t.test('a revocation concurrent with a deletion finds no token, and records nothing', async (t) => {
  const { id } = await issue()
  const answer = await revokeBehind(id, (tx) => tx.deleteFrom('tokens').where('id', '=', id).execute())
  t.match(answer, { status: 404, body: { code: 'not_found' } })
  t.same(await revocationsOf(id), [])
})

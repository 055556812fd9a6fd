import { randomUUID } from 'node:crypto'
import t from 'tap'
import { createWorld } from '../support/world.ts'

const { ask } = await createWorld(t)
const url = '/v1/organizations/default/tokens'
await ask('PATCH', '/v1/organizations/default/policy', {
  body: {
    limits: { active_per_organization: 1 },
    lifetime: { maximum_days: 10, on_too_long: 'reduce' },
    name: { required: false },
  },
})

t.test(
  'a retry gets the first response, with warnings and name, even if the policy would reject another token',
  async (t) => {
    const headers = { 'idempotency-key': randomUUID() }
    const body = { type: 'api', lifetime_days: 30 }
    const first = await ask('POST', url, { headers, body })
    t.match(first, { status: 201, body: { warnings: [{ code: 'lifetime_reduced' }] } }, first.text)
    const retry = await ask('POST', url, { headers, body })
    t.same([retry.status, retry.body], [201, first.body])

    const other = { 'idempotency-key': randomUUID() }
    t.match(await ask('POST', url, { headers: other, body }), {
      status: 409,
      body: { code: 'limit_reached' },
    })
    t.match(await ask('GET', url), { body: { creation: { allowed: false, code: 'limit_reached' } } })

    await ask('POST', `${url}/${first.body.id}/revoke`)
    const later = await ask('POST', url, { headers: other, body })
    t.equal(later.status, 201, 'a refusal is not kept')
  },
)

import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue } = world
const tokens = '/v1/organizations/default/tokens'
const events = async (query = '') =>
  (await ask('GET', `/v1/organizations/default/audit-events${query}`)).body.items

t.test(
  'each action is one event, with actor, target, time, request and address, and survives the token',
  async (t) => {
    const start = (await events()).length
    const writer = await issue({ name: 'Script', type: 'management', scopes: ['tokens:write'] })
    const made = await ask('POST', tokens, { token: writer.secret, body: { name: 'Old name', type: 'api' } })
    await ask('PATCH', `${tokens}/${made.body.id}`, { token: writer.secret, body: { name: 'New name' } })
    await ask('POST', `${tokens}/${made.body.id}/revoke`, { token: writer.secret, body: { reason: 'Test' } })
    await ask('DELETE', `${tokens}/${made.body.id}`, { token: writer.secret })

    const all = await events()
    t.equal(all.length, start + 5)
    const actor = { type: 'token', id: writer.id, name: 'Script' }
    const target = (name: string) => ({ type: 'token', id: made.body.id, name })
    t.match(all.slice(0, 4), [
      {
        action: 'token.deleted',
        actor,
        target: target('New name'),
        changes: {
          before: {
            type: 'api',
            owner: null,
            hint: made.body.hint,
            created_at: made.body.created_at,
            expires_at: null,
            revoked_by: actor,
            revoked_reason: 'Test',
          },
          after: {},
        },
      },
      { action: 'token.revoked', actor, target: target('New name'), changes: { after: { reason: 'Test' } } },
      {
        action: 'token.updated',
        actor,
        target: target('New name'),
        changes: { before: { name: 'Old name' }, after: { name: 'New name' } },
      },
      {
        action: 'token.created',
        actor,
        target: target('Old name'),
        ip: '127.0.0.1',
        occurred_at: world.clock.now.toISOString(),
      },
    ])
    t.equal(all[3].request_id, made.headers['x-request-id'])
  },
)

t.test('the log is filtered by actor, target, action and time', async (t) => {
  const { id } = await issue({ name: 'Filtered' })
  world.clock.advance(60_000)
  await ask('POST', `${tokens}/${id}/revoke`)
  const since = encodeURIComponent(world.clock.now.toISOString())
  const self = (await ask('GET', '/v1/self')).body.id
  t.same(
    (await events(`?target=${id}`)).map((event: any) => event.action),
    ['token.revoked', 'token.created'],
  )
  t.same((await events(`?target=${id}&action=token.created`)).length, 1)
  t.same(
    (await events(`?target=${id}&from=${since}`)).map((event: any) => event.action),
    ['token.revoked'],
  )
  t.same(
    (await events(`?target=${id}&to=${since}`)).map((event: any) => event.action),
    ['token.created'],
  )
  t.equal((await events(`?target=${id}&actor=${self}`)).length, 2)
  t.equal((await events(`?target=${id}&actor=${id}`)).length, 0)
})

t.test('the log is paged newest first, without duplicates or gaps', async (t) => {
  for (let i = 0; i < 5; i++) await issue({ name: `Paged ${i}` })
  const whole = await events('?limit=200')
  const paged: any[] = []
  let url: string | undefined = '/v1/organizations/default/audit-events?limit=3'
  while (url) {
    const page = await ask('GET', url)
    paged.push(...page.body.items)
    url = /^<(.+)>; rel="next"$/.exec(page.headers.link ?? '')?.[1]
  }
  t.same(paged, whole)
})

t.test('the log cannot be changed, not even in the database', async (t) => {
  for (const statement of [
    "update audit_events set action = 'x'",
    'delete from audit_events',
    'truncate audit_events',
  ]) {
    await t.rejects(world.sql(statement), /append-only/, statement)
  }
})

t.test('a failed action leaves no event, and an action that cannot be recorded fails', async (t) => {
  const before = await events('?limit=200')
  await ask('POST', tokens, { body: { name: 'Refused', type: 'nonesuch' } })
  t.same(await events('?limit=200'), before)
  await world.sql(
    "alter table audit_events add constraint closed check (action <> 'token.created') not valid",
  )
  t.equal((await ask('POST', tokens, { body: { name: 'Not recorded', type: 'api' } })).status, 500)
  await world.sql('alter table audit_events drop constraint closed')
  t.same((await ask('GET', `${tokens}?search=Not+recorded`)).body.items, [])
})

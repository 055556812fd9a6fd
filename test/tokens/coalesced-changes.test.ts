import { sql } from 'kysely'
import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask, introspect, issue } = world

/** Creates organizations for the test. */
async function organizations(...keys: string[]) {
  for (const key of keys) await ask('POST', '/v1/organizations', { body: { key, name: key } })
}

const create = (organization: string, name: string) =>
  ask('POST', `/v1/organizations/${organization}/tokens`, { body: { name, type: 'api' } })
const rotate = (id: string, organization = 'default') =>
  ask('POST', `/v1/organizations/${organization}/tokens/${id}/rotate`, { body: {} })
const revoke = (id: string, reason: string) =>
  ask('POST', `/v1/organizations/default/tokens/${id}/revoke`, { body: { reason } })

async function eventsOf(organization: string, action: string) {
  const { body } = await ask(
    'GET',
    `/v1/organizations/${organization}/audit-events?limit=100&action=${action}`,
  )
  return body.items
}

t.test('tokens created concurrently each get the right organization and name', async (t) => {
  await organizations('left', 'right')
  const asked = Array.from({ length: 40 }, (_, index) => ({
    organization: index % 2 ? 'left' : 'right',
    name: `Token ${index}`,
  }))
  const answers = await Promise.all(
    asked.map(async (token) => ({ token, ...(await create(token.organization, token.name)) })),
  )
  for (const { token, status, body } of answers) {
    t.match({ status, body }, { status: 201, body: token })
    const { organization } = token
    t.match(await introspect(body.secret), { active: true, organization, jti: body.id })
  }
  for (const organization of ['left', 'right']) {
    const made = answers.filter(({ body }) => body.organization === organization).map(({ body }) => body.id)
    const recorded = (await eventsOf(organization, 'token.created')).map(({ target }: any) => target.id)
    t.same(recorded.sort(), made.sort())
  }
})

t.test('an invalid create fails without affecting the others', async (t) => {
  const answers = await Promise.all([
    create('default', 'Good'),
    create('nowhere', 'Misplaced'),
    ask('POST', '/v1/organizations/default/tokens', { body: { name: 'Bad', type: 'unknown' } }),
    create('default', 'Good too'),
  ])
  t.same(
    answers.map(({ status }) => status),
    [201, 404, 422, 201],
  )
})

t.test('a create that waits for a change of its organization does not delay others', async (t) => {
  await organizations('changing', 'free')
  let waiting: ReturnType<typeof create> | undefined
  await world.db.transaction().execute(async (tx) => {
    await sql`update organizations set name = 'Changed' where key = 'changing'`.execute(tx)
    waiting = create('changing', 'Waiting')
    const others = await Promise.all([create('free', 'Free'), create('default', 'Free')])
    t.match(others, [{ status: 201 }, { status: 201 }])
  })
  t.match(await waiting, { status: 201, body: { organization: 'changing' } })
  t.equal((await eventsOf('changing', 'token.created')).length, 1)
})

t.test('a revocation that waits for a change of its token does not delay others', async (t) => {
  const [changing, free] = [await issue(), await issue()]
  let waiting: ReturnType<typeof revoke> | undefined
  await world.db.transaction().execute(async (tx) => {
    await sql`update tokens set name = 'Changed', version = version + 1 where id = ${changing.id}`.execute(tx)
    waiting = revoke(changing.id, 'waited')
    t.match(await revoke(free.id, 'free'), { status: 200, body: { status: 'revoked' } })
  })
  t.match(await waiting, {
    status: 200,
    body: { name: 'Changed', status: 'revoked', revoked_reason: 'waited' },
  })
  t.same(await Promise.all([changing, free].map(({ secret }) => introspect(secret))), [
    { active: false },
    { active: false },
  ])
})

t.test('concurrent revocations of a token all succeed, and one is recorded', async (t) => {
  const token = await issue()
  const reasons = ['first', 'second', 'third', 'fourth']
  const answers = await Promise.all(reasons.map((reason) => revoke(token.id, reason)))
  const [{ body: told }] = answers as [(typeof answers)[0]]
  t.ok(reasons.includes(told.revoked_reason))
  for (const { status, body } of answers) t.match({ status, body }, { status: 200, body: told })
  const recorded = (await eventsOf('default', 'token.revoked')).filter(
    ({ target }: any) => target.id === token.id,
  )
  t.match(recorded, [{ changes: { after: { reason: told.revoked_reason } } }])
  t.same(await introspect(token.secret), { active: false })
})

t.test('tokens revoked concurrently are each revoked with their own reason', async (t) => {
  const tokens = await Promise.all(Array.from({ length: 20 }, () => issue()))
  const answers = await Promise.all(tokens.map(({ id }) => revoke(id, `reason of ${id}`)))
  for (const { status, body } of answers) {
    t.match(
      { status, body },
      { status: 200, body: { status: 'revoked', revoked_reason: `reason of ${body.id}` } },
    )
  }
  for (const { secret } of tokens) t.same(await introspect(secret), { active: false })
})

t.test('tokens rotated concurrently each get a secret of their own, in fewer transactions', async (t) => {
  const tokens = await Promise.all(Array.from({ length: 20 }, () => issue()))
  const answers = await Promise.all(tokens.map(({ id }) => rotate(id)))
  const { rows } = await world.sql(
    "select distinct xmin::text from audit_events where action = 'token.rotated'",
  )
  t.ok(rows.length < tokens.length, 'fewer transactions than rotations')
  for (const [index, { status, body }] of answers.entries()) {
    t.match({ status, body }, { status: 200, body: { id: tokens[index].id } })
    for (const secret of [tokens[index].secret, body.secret])
      t.match(await introspect(secret), { active: true, client_id: body.id })
    const { items } = (await ask('GET', `/v1/organizations/default/tokens/${body.id}/secrets`)).body
    t.same(items, body.secrets, 'the answer shows what was stored')
  }
  const recorded = (await eventsOf('default', 'token.rotated')).map(({ target }: any) => target.id)
  t.same(recorded.sort(), tokens.map(({ id }) => id).sort())
})

t.test(
  'a rotation that waits for a change decides on what was changed, without delaying others',
  async (t) => {
    for (const [change, expected] of [
      [
        (id: string) => sql`update tokens set name = 'Changed', version = version + 1 where id = ${id}`,
        { status: 200, body: { name: 'Changed' } },
      ],
      [
        (id: string) => sql`update tokens set revoked_at = now(), version = version + 1 where id = ${id}`,
        { status: 409, body: { code: 'not_rotatable' } },
      ],
      [(id: string) => sql`delete from tokens where id = ${id}`, { status: 404 }],
      [
        () =>
          sql`update organizations set policy = '{"rotation": {"default_overlap_seconds": 7}}' where key = 'ruled'`,
        { status: 200, body: { secrets: [{}, { valid_until: '2026-03-01T12:00:07.000Z' }] } },
      ],
      [
        () => sql`update organizations set suspended_at = now() where key = 'ruled'`,
        { status: 409, body: { code: 'suspended' } },
      ],
    ] as const) {
      await organizations('ruled')
      const token = await issue({}, 'ruled')
      const free = await issue()
      let waiting: ReturnType<typeof rotate> | undefined
      await world.db.transaction().execute(async (tx) => {
        await change(token.id).execute(tx)
        waiting = rotate(token.id, 'ruled')
        t.match(await rotate(free.id), { status: 200 })
      })
      t.match(await waiting, expected)
    }
  },
)

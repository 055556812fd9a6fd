// A secret that is used after its overlap, while its successor is in use, betrays that two parties hold the token.
import t from 'tap'
import { generateSecret, Secret } from '../../src/shared/secret.ts'
import { deleteOldSuperseded } from '../../src/tokens/rotate/overlap.ts'
import { createRotations } from '../../src/tokens/rotate/rotations.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { clock } = world
const minute = 60_000

async function setReaction(on_superseded_use: string, keep_superseded_days = 90) {
  const body = { rotation: { on_superseded_use, keep_superseded_days } }
  await world.ask('PUT', '/v1/organizations/default/policy', { body })
}

const pathOf = ({ id }: { id: string }) => `/v1/organizations/default/tokens/${id}`

/** A token whose first secret has ended. */
async function superseded() {
  const token = await world.issue()
  const { body } = await world.ask('POST', `${pathOf(token)}/rotate`, { body: { overlap_seconds: 60 } })
  clock.advance(minute)
  return { id: token.id, old: token.secret, current: body.secret, hint: token.hint }
}

async function use(secret: string, client_ip = '192.0.2.1') {
  return (await world.ask('POST', '/introspect', { form: { token: secret, client_ip } })).body
}

/** What the background does every second. */
async function settle() {
  await world.usage.flush()
  await world.rotations.flush()
}

async function eventsOf({ id }: { id: string }) {
  const { body } = await world.ask('GET', `/v1/organizations/default/audit-events?target=${id}`)
  return body.items
}

async function reusesOf(token: { id: string }) {
  return (await eventsOf(token)).filter(({ action }: any) => action === 'token.superseded_secret_used')
}

t.test('the reuse is recorded once, with its address', async (t) => {
  const token = await superseded()
  await use(token.current)
  await settle()
  for (let i = 0; i < 3; i++) {
    t.same(await use(token.old, '203.0.113.7'), { active: false })
    await settle()
  }
  const [event, ...others] = await reusesOf(token)
  t.same(others, [])
  t.match(event, {
    actor: { type: 'system' },
    ip: '203.0.113.7',
    occurred_at: clock.now.toISOString(),
    changes: { after: { secret_id: token.id, hint: token.hint } },
  })
  const { items } = (await world.ask('GET', `${pathOf(token)}/secrets`)).body
  t.match(items[1], { reused_at: clock.now.toISOString(), reused_ip: '203.0.113.7', status: 'superseded' })
  t.equal((await use(token.current)).active, true)
})

t.test('a reuse is recorded again after a further rotation', async (t) => {
  const token = await superseded()
  await use(token.current)
  await settle()
  await use(token.old)
  await settle()
  clock.advance(minute)
  const { body } = await world.ask('POST', `${pathOf(token)}/rotate`, { body: { overlap_seconds: 0 } })
  clock.advance(minute)
  await use(body.secret)
  await settle()
  for (const secret of [token.old, token.current]) {
    await use(secret)
    await settle()
  }
  t.equal((await reusesOf(token)).length, 2)
})

t.test('a late secret is a sign of theft only once its successor is in use', async (t) => {
  const token = await superseded()
  await use(token.old)
  await settle()
  await use(token.old)
  await settle()
  t.same(await reusesOf(token), [])
  await use(token.current)
  await settle()
  t.same(await reusesOf(token), [], 'what happened before does not count')
  await use(token.old)
  await settle()
  t.equal((await reusesOf(token)).length, 1)
})

t.test('the first reuse is recorded even if the secret was cached as unknown or ended', async (t) => {
  const token = await superseded()
  // In memory as ended, and then, once its end was announced, as unknown.
  await use(token.old)
  await use(token.old)
  await settle()
  await use(token.old)
  await settle()
  await use(token.current)
  await settle()
  await use(token.old)
  await settle()
  t.equal((await reusesOf(token)).length, 1)
})

t.test('a superseded secret that calls the API itself is detected too', async (t) => {
  const scopes = ['tokens:read']
  const token = await world.issue({ type: 'management', scopes })
  const { body } = await world.ask('POST', `${pathOf(token)}/rotate`, { body: { overlap_seconds: 0 } })
  await world.ask('GET', '/v1/self', { token: body.secret })
  await settle()
  t.equal((await world.ask('GET', '/v1/self', { token: token.secret })).status, 401)
  await settle()
  t.match(await reusesOf(token), [{ ip: '127.0.0.1' }])
})

t.test('by policy, the token is revoked', async (t) => {
  await setReaction('revoke')
  const token = await superseded()
  await use(token.current)
  await settle()
  t.same(await use(token.old), { active: false })
  await settle()
  t.same(await use(token.current), { active: false })
  t.match(await world.ask('GET', pathOf(token)), {
    body: {
      status: 'revoked',
      revoked_by: { type: 'system', id: 'reuse' },
      revoked_reason: 'A superseded secret was used',
    },
  })
  t.match(
    (await eventsOf(token)).map(({ action }: any) => action),
    ['token.revoked', 'token.superseded_secret_used', 'token.rotated', 'token.created'],
  )
})

t.test('by policy, it is only shown with the secret', async (t) => {
  await setReaction('ignore')
  const token = await superseded()
  await use(token.current)
  await settle()
  await use(token.old)
  await settle()
  t.same(await reusesOf(token), [])
  const { items } = (await world.ask('GET', `${pathOf(token)}/secrets`)).body
  t.equal(items[1].reused_at, clock.now.toISOString())
})

t.test('superseded secrets are kept for as long as the policy says', async (t) => {
  await setReaction('notify', 10)
  const token = await superseded()
  await settle()
  const count = async () => (await world.ask('GET', `${pathOf(token)}/secrets`)).body.items.length
  clock.advance(9 * 24 * 60 * minute)
  await deleteOldSuperseded(world.db, clock.now)
  t.equal(await count(), 2)
  clock.advance(24 * 60 * minute + 1)
  await deleteOldSuperseded(world.db, clock.now)
  t.equal(await count(), 1)
  const { rows } = await world.sql('select from secret_uses where token_id = $1', [token.id])
  t.equal(rows.length, 1)
})

t.test(
  'a flood of unknown secrets is examined in one statement a second, and nothing is recorded',
  async (t) => {
    const before = (await world.sql('select count(*) from audit_events')).rows
    for (let i = 0; i < 50; i++) {
      const secret = generateSecret('api').reveal()
      recordSecret(secret)
      t.same(await use(secret), { active: false })
    }
    await settle()
    t.same((await world.sql('select count(*) from audit_events')).rows, before)
  },
)

t.test('a failure of the database does not hide a reuse', async (t) => {
  await setReaction('notify')
  const token = await superseded()
  await use(token.current)
  await settle()
  await use(token.old)
  await world.sql('alter table superseded_secrets rename to unreachable')
  await t.rejects(world.rotations.flush(), /superseded_secrets/)
  await world.sql('alter table unreachable rename to superseded_secrets')
  await settle()
  t.equal((await reusesOf(token)).length, 1)
})

t.test('what does not fit into memory is looked up again when it is next presented', async (t) => {
  const forgotten: string[] = []
  const rotations = createRotations(world.db, {
    now: () => clock.now,
    every: () => () => {},
    onError: (error) => t.error(error),
    forget: (hash) => forgotten.push(hash),
    capacity: 2,
  })
  const hashes = ['a', 'b', 'b', 'c'].map((text) => new Secret(text).hashText())
  for (const hash of hashes) rotations.presented(hash, clock.now, null)
  t.same(forgotten, hashes.slice(3))
  await rotations.flush()
  t.same(forgotten, hashes.slice(3), 'unknown ones stay in memory')
})

import t from 'tap'
import { setOrganizationSuspended } from '../../src/organizations/organizations.ts'
import { platformPolicy } from '../../src/policy/effective.ts'
import { selectBreaches } from '../../src/policy/store.ts'
import { tightened } from '../../src/policy/tightened.ts'
import { callerOf } from '../support/credentials.ts'
import { fill } from '../support/database.ts'
import { hold, waitsForLock } from '../support/locks.ts'
import { costOf } from '../support/plans.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const made = await world.ask('POST', '/v1/organizations', { body: { key: 'large', name: 'Large' } })
const organization = made.body.id as string
const url = '/v1/organizations/large/policy'

const caller = await callerOf(world)
const { now } = world.clock

// Half of them are revoked.
await fill(
  world.databaseUrl,
  ['tokens', 'token_uses'],
  `insert into tokens (organization_id, id, type, name, owner_subject, owner_source, scopes, audience, metadata,
       expires_at, revoked_at, created_at, created_by, updated_at)
     select '${organization}', gen_random_uuid(), 'api', 'Token ' || i, 'u-' || i, 'internal', '{read}', '{}', '{}',
       at + interval '90 days' + i * interval '1 second', case when i % 2 = 0 then at end, at, '{}', at
     from generate_series(1, 20000) i, lateral (select timestamptz '${world.clock.now.toISOString()}' as at);
   insert into token_uses (organization_id, token_id) select organization_id, id from tokens
     where organization_id = '${organization}'`,
)

t.test('breaches of a rule are searched in a limited number of tokens', async (t) => {
  const { lifetime, name, limits } = platformPolicy
  const policies = {
    'lifetime.maximum_days': { ...platformPolicy, lifetime: { ...lifetime, maximum_days: 91 } },
    'lifetime.minimum_days': { ...platformPolicy, lifetime: { ...lifetime, minimum_days: 30 } },
    'lifetime.allow_no_expiry': { ...platformPolicy, lifetime: { ...lifetime, allow_no_expiry: false } },
    'name.minimum_length': { ...platformPolicy, name: { ...name, minimum_length: 3 } },
    'name.unique': { ...platformPolicy, name: { ...name, unique: true } },
    'limits.active_per_owner': { ...platformPolicy, limits: { ...limits, active_per_owner: 5 } },
    'limits.active_per_organization': {
      ...platformPolicy,
      limits: { ...limits, active_per_organization: 50_000 },
    },
    'scopes.required': { ...platformPolicy, scopes: { required: true } },
    'creation.sso_users': { ...platformPolicy, creation: { sso_users: false } },
    allowed_types: { ...platformPolicy, allowed_types: ['api'] },
  }
  for (const [rule, policy] of Object.entries(policies)) {
    const rules = tightened(platformPolicy, policy)
    const cost = (most: number) =>
      costOf(world.db, 'tokens', (db) => selectBreaches(db, organization, rules, { now, most }))
    const { examined, scanned } = await cost(500)
    t.same(scanned, [], rule)
    // For unique names, one more row is examined per name.
    t.ok(examined <= 1_001, `${rule}: ${examined} rows`)
    t.ok((await selectBreaches(world.db, organization, rules, { now, most: 500 })).more)
    t.notOk((await selectBreaches(world.db, organization, rules, { now, most: 20_000 })).more)
  }
})

t.test('a change that makes no rule stricter examines no token', async (t) => {
  const rules = tightened({ ...platformPolicy, scopes: { required: true } }, platformPolicy)
  await t.rejects(
    costOf(world.db, 'tokens', (db) => selectBreaches(db, organization, rules, { now })),
    { message: 'nothing was asked' },
  )
})

t.test('a dry run locks nothing', async (t) => {
  const holder = await hold(t, world, `select from organizations where id = '${organization}' for update`)
  const body = { lifetime: { maximum_days: 30 } }
  t.match(await world.ask('PATCH', `${url}?dry_run=true`, { body }), {
    status: 200,
    body: { breaking_tokens: { count: 100, more: true } },
  })
  await holder.end()
})

t.test('while tokens are examined for a change the organization can be suspended', async (t) => {
  const holder = await hold(t, world, 'lock table tokens in access exclusive mode')
  // The administrator is cached by now, so that only the change has to wait for tokens.
  const change = world.ask('PATCH', url, { body: { lifetime: { maximum_days: 30 } } })
  await waitsForLock(world, '%with live as%')
  await setOrganizationSuspended(world.db, caller, 'large', true)
  await setOrganizationSuspended(world.db, caller, 'large', false)
  await holder.end()
  t.match(await change, { status: 200, body: { applied: true } })
})

t.test('a concurrent change is not lost', async (t) => {
  const [one, other] = await Promise.all([
    world.ask('PATCH', url, { body: { name: { minimum_length: 4 } } }),
    world.ask('PATCH', url, { body: { scopes: { required: true } } }),
  ])
  t.match([one.status, other.status], [200, 200])
  const { body } = await world.ask('GET', url)
  t.match(body.own, { name: { minimum_length: 4 }, scopes: { required: true } })
})

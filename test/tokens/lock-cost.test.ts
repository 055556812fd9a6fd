import t from 'tap'
import type { Db } from '../../src/db/database.ts'
import { listSigningKeys, retireSigningKey, rotateSigningKey } from '../../src/keys/keys.ts'
import { setOrganizationSuspended } from '../../src/organizations/organizations.ts'
import { selectKnownOwner } from '../../src/owners/store.ts'
import { hasTokens } from '../../src/token-types/store.ts'
import { revokeOwnerTokens } from '../../src/tokens/owners.ts'
import { keepActiveCounts } from '../../src/tokens/quota.ts'
import { countActive, countActiveOf, selectNames } from '../../src/tokens/quota-store.ts'
import { callerOf } from '../support/credentials.ts'
import { hold, waitsForLock } from '../support/locks.ts'
import { affectedBy, costOf } from '../support/plans.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { id: organizationId } = (
  await world.ask('POST', '/v1/organizations', { body: { key: 'large', name: 'Large' } })
).body
const caller = await callerOf(world)
const { now } = world.clock

/** Creates tokens of one owner. */
async function give(owner: string, count: number): Promise<void> {
  await world.sql(
    `insert into tokens (organization_id, id, type, name, owner_subject, owner_source, scopes, audience, metadata,
         created_at, created_by, updated_at)
       select $1, gen_random_uuid(), 'api', $2 || i, $2, 'internal', '{read}', '{}', '{}', now(), '{}', now()
       from generate_series(1, $3) i`,
    [organizationId, owner, count],
  )
}
await give('many', 5_000)
await keepActiveCounts(world.db, now)
await give('many', 10)
await world.sql('analyze tokens')

/** `costOf` returns no rows. */
function noRows(): void {}

const underLocks: Record<string, { most: number; ask: (db: Db) => Promise<unknown> }> = {
  'active tokens of an organization, for its limit': {
    most: 0,
    ask: (db) => countActive(db, organizationId, { now, limit: 1_000_000 }).catch(noRows),
  },
  'active tokens of an owner, for their limit': {
    most: 50,
    ask: (db) => countActiveOf(db, { organizationId, owners: ['many'] }, { now, limit: 50 }).catch(noRows),
  },
  'whether a name is taken': { most: 1, ask: (db) => selectNames(db, { organizationId }, ['many5000']) },
  'what is known of an owner without a record': {
    most: 1000,
    ask: (db) => selectKnownOwner(db, { organizationId, subject: 'many' }).catch(noRows),
  },
  'whether a token type has tokens, for its deletion': {
    most: 1,
    ask: (db) => hasTokens(db, { organizationId: null }, 'scim'),
  },
}
for (const [what, { most, ask }] of Object.entries(underLocks)) {
  t.test(`${what}: at most ${most} of 5,000 tokens are examined`, async (t) => {
    const { examined, scanned } = await costOf(world.db, 'tokens', ask)
    t.notOk(scanned.includes('tokens'))
    t.ok(examined <= most, `${examined} rows`)
  })
}

t.test('live tokens of a signing key are counted among 10,000 of its tokens', async (t) => {
  const { rows } = await world.sql('select kid from signing_keys')
  await give('signed', 15_000)
  await world.sql(
    `insert into token_secrets (organization_id, token_id, hash, hint, created_at, signed_by)
     select organization_id, id, sha256(id::text::bytea), '', now(), $1 from tokens where owner_subject = 'signed'`,
    [rows[0].kid],
  )
  await world.sql('analyze tokens, token_secrets')
  const { examined } = await costOf(world.db, 'token_secrets', (db) => listSigningKeys(db, caller))
  // Once for the number, and once for whether there are more.
  t.ok(examined < 20_100, `${examined} rows`)
  const { items } = (await world.ask('GET', '/v1/signing-keys')).body
  t.match(items, [{ live_tokens: 10_000, live_tokens_more: true }])
  await world.sql("delete from tokens where owner_subject = 'signed'")
})

t.test('usage is exact up to the limit', async (t) => {
  const count = async (owner: string, limit: number) =>
    (await countActiveOf(world.db, { organizationId, owners: [owner] }, { now, limit })).get(owner)
  await give('few', 3)
  t.same([await count('few', 2), await count('few', 3), await count('few', 4)], [2, 3, 3])
})

t.test('all tokens of an owner are revoked by statements of at most 1,000 rows', async (t) => {
  await give('leaver', 2500)
  let revoked = 0
  const affected = await affectedBy(world.db, async (db) => {
    revoked = await revokeOwnerTokens(db, caller, { organization: 'large', subject: 'leaver' }, null)
  })
  t.equal(revoked, 2500)
  // Each batch with its change log events.
  t.same(affected, [1000, 1000, 1000, 1000, 500, 500])
  const { rows } = await world.sql(
    "select count(*)::int as left from tokens where owner_subject = 'leaver' and revoked_at is null",
  )
  t.equal(rows[0].left, 0)
})

t.test('while tokens of an owner are being revoked the organization can be suspended', async (t) => {
  await give('slow', 1)
  const holder = await hold(t, world, "select from tokens where owner_subject = 'slow' for update")
  const revoking = revokeOwnerTokens(world.db, caller, { organization: 'large', subject: 'slow' }, null)
  await waitsForLock(world, '%update "tokens"%')
  await setOrganizationSuspended(world.db, caller, 'large', true)
  await setOrganizationSuspended(world.db, caller, 'large', false)
  await holder.end()
  t.equal(await revoking, 1)
})

t.test('a token that is being created when an owner is revoked is revoked too', async (t) => {
  const holder = await hold(t, world, `select from organizations where id = '${organizationId}' for share`)
  const revoking = revokeOwnerTokens(world.db, caller, { organization: 'large', subject: 'just-now' }, null)
  await waitsForLock(world, '%"organizations"%for update%')
  await holder.query(
    `insert into tokens (organization_id, id, type, name, owner_subject, owner_source, scopes, audience, metadata,
         created_at, created_by, updated_at)
       values ($1, gen_random_uuid(), 'api', 'Just now', 'just-now', 'internal', '{read}', '{}', '{}', now(), '{}', now())`,
    [organizationId],
  )
  await holder.query('commit')
  t.equal(await revoking, 1)
})

t.test('signing keys can be rotated and retired while tokens cannot be counted', async (t) => {
  const next = await rotateSigningKey(world.db, caller, world.signing, { immediately: true })
  const [first] = await listSigningKeys(world.db, caller)
  const holder = await hold(t, world, 'lock table tokens in access exclusive mode')
  const retiring = retireSigningKey(world.db, caller, first?.kid ?? '')
  await waitsForLock(world, '%token_secrets%')
  // The first lock has been released, or this would wait for it.
  await world.sql("set lock_timeout = '2s'; select pg_advisory_xact_lock(7663)")
  await holder.end()
  t.match(await retiring, { key: { kid: first?.kid }, tokensAffected: 0 })
  t.not(next.kid, first?.kid)
})

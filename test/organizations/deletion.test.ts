import { sql } from 'kysely'
import pg from 'pg'
import t from 'tap'
import { listen } from '../../src/db/listener.ts'
import { deleteOrganization } from '../../src/organizations/organizations.ts'
import { callerOf } from '../support/credentials.ts'
import { affectedBy } from '../support/plans.ts'
import { until } from '../support/until.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const tokensEach = 2500

/** A suspended organization with this many tokens, each with a secret, and as many answers for Idempotency-Keys. */
async function large(key: string): Promise<string> {
  const { id } = (await world.ask('POST', '/v1/organizations', { body: { key, name: key } })).body
  await world.sql(
    `with token as (
       insert into tokens (organization_id, id, type, name, scopes, audience, metadata, created_at, created_by, updated_at)
         select $1, gen_random_uuid(), 'api', 'Token ' || i, '{read}', '{}', '{}', now(), '{}', now()
         from generate_series(1, $2) i
         returning organization_id, id
     ), secret as (
       insert into token_secrets (hash, organization_id, token_id, hint, created_at)
         select sha256(id::text::bytea), organization_id, id, '', now() from token
     )
     insert into idempotency_keys (hash, organization_id, fingerprint, expires_at)
       select sha256(id::text::bytea), organization_id, sha256(''), now() from token`,
    [id, tokensEach],
  )
  await world.ask('POST', `/v1/organizations/${key}/suspend`)
  return id
}

const tokensOf = async (id: string) =>
  (await world.sql('select count(*)::int as count from tokens where organization_id = $1', [id])).rows[0]
    .count

t.test('a large organization is deleted by statements of at most 1,000 rows', async (t) => {
  const id = await large('batches')
  const caller = await callerOf(world)
  const affected = await affectedBy(world.db, (db) => deleteOrganization(db, caller, 'batches', undefined))
  t.same(affected, [1000, 1000, 500, 1000, 1000, 500, 1])
  t.equal(await tokensOf(id), 0)
  t.equal((await world.ask('GET', '/v1/organizations/batches')).status, 404)
})

t.test('the feed reports its suspension and deletion, but not each token', async (t) => {
  const id = await large('told-once')
  t.equal((await world.ask('DELETE', '/v1/organizations/told-once')).status, 204)
  const { rows } = await world.sql(
    'select reason, organization_key, token_id from revocations where organization_id = $1 order by position',
    [id],
  )
  t.same(rows, [
    { reason: 'suspended', organization_key: 'told-once', token_id: null },
    { reason: 'deleted', organization_key: 'told-once', token_id: null },
  ])
  const log = await world.ask('GET', `/v1/organizations/platform/audit-events?target=${id}`)
  const actions = log.body.items.map((event: any) => event.action)
  t.same(actions, ['organization.deleted', 'organization.suspended', 'organization.created'])
})

t.test("deleting it does not evict other organizations' tokens from caches", async (t) => {
  await large('quiet')
  const announced: string[] = []
  const fence = Promise.withResolvers<void>()
  const { close } = await listen(world.databaseUrl, ['counterfoil_changes', 'fence'], {
    onNotification(channel, payload) {
      if (channel === 'fence') fence.resolve()
      else announced.push(payload)
    },
    onBroken: fence.reject,
  })
  t.equal((await world.ask('DELETE', '/v1/organizations/quiet')).status, 204)
  await sql`notify fence`.execute(world.db)
  await fence.promise
  close()
  t.same(announced, ['static-secret'])
})

t.test('a token deleted on its own afterwards is reported', async (t) => {
  const { id } = await world.issue()
  await world.ask('DELETE', `/v1/organizations/default/tokens/${id}`)
  const { rows } = await world.sql('select reason from revocations where token_id = $1', [id])
  t.same(rows, [{ reason: 'deleted' }])
})

t.test('a deletion that was interrupted leaves a suspended organization, and can be repeated', async (t) => {
  const id = await large('interrupted')
  const holder = new pg.Client({ connectionString: world.databaseUrl })
  await holder.connect()
  t.teardown(() => holder.end())
  await holder.query('begin')
  await holder.query(
    'select from tokens where organization_id = $1 order by organization_id, id desc limit 1 for update',
    [id],
  )
  const deletion = world.ask('DELETE', '/v1/organizations/interrupted')
  await until(async () => {
    const { rows } = await world.sql(
      "select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and query like '%delete from%'",
    )
    return rows.length > 0
  })
  t.equal((await deletion).status, 503)
  await holder.query('rollback')

  t.equal(await tokensOf(id), 500, 'the batches before stay deleted')
  t.match(await world.ask('GET', '/v1/organizations/interrupted'), { body: { suspended_at: /Z$/ } })
  t.equal((await world.ask('POST', '/v1/organizations/interrupted/resume')).status, 200)
  t.match(await world.ask('DELETE', '/v1/organizations/interrupted'), {
    status: 409,
    body: { code: 'not_suspended' },
  })
  t.equal(await tokensOf(id), 500)
  await world.ask('POST', '/v1/organizations/interrupted/suspend')
  t.equal((await world.ask('DELETE', '/v1/organizations/interrupted')).status, 204)
  t.equal(await tokensOf(id), 0)
  const log = await world.ask(
    'GET',
    `/v1/organizations/platform/audit-events?target=${id}&action=organization.deleted`,
  )
  t.equal(log.body.items.length, 1)
})

import pg from 'pg'
import t, { type Test } from 'tap'
import { readConfig } from '../../src/config.ts'
import { setDurability } from '../../src/db/installation.ts'
import { databaseWarnings } from '../../src/prepare.ts'
import { makeClient } from '../support/client.ts'
import { retried } from '../support/retried.ts'
import { startPair } from '../support/standby.ts'
import { createWorld, type World } from '../support/world.ts'

const endings = {
  'a token is revoked': "update tokens set revoked_at = now() where type = 'api'",
  'a token expires sooner': "update tokens set expires_at = now() where type = 'api'",
  'a token is deleted': "delete from tokens where type = 'api'",
  'a secret is taken away': 'delete from token_secrets',
  'an organization is suspended': "update organizations set suspended_at = now() where key = 'default'",
  'an organization is deleted': "delete from organizations where key = 'default'",
  'a type is suspended': "update token_types set suspended_at = now() where name = 'api'",
  'a client key is taken away': 'delete from client_keys',
  'a client key is replaced': 'update client_keys set updated_at = now()',
  'all tokens are gone': 'truncate tokens cascade',
}

/** What the transaction waits for at commit, in a session without settings of its own. */
async function commitOf(world: World, statement: string, preset = 'local'): Promise<string> {
  const client = new pg.Client(world.databaseUrl)
  await client.connect()
  await client.query(`set synchronous_commit = ${preset}; begin; ${statement}; set constraints all immediate`)
  const { rows } = await client.query('show synchronous_commit')
  await client.query('rollback')
  await client.end()
  return rows[0].synchronous_commit
}

t.test('changes that take a credential away wait for a standby if configured', async (t) => {
  const world = await createWorld(t)
  await world.issue()
  await makeClient(world)
  for (const [durability, level] of [
    ['local', 'local'],
    ['remote', 'on'],
  ] as const) {
    await setDurability(world.db, durability)
    for (const [what, statement] of Object.entries(endings))
      t.equal(await commitOf(world, statement), level, `${durability}: ${what}`)
  }
  t.equal(await commitOf(world, endings['a token is revoked'], 'remote_apply'), 'remote_apply')
  t.equal(
    await commitOf(world, 'update token_uses set use_count = 0'),
    'local',
    'the counting of uses does not',
  )
})

t.test('a warning at startup says if there is no standby to wait for', async (t) => {
  const { db } = await createWorld(t)
  const database = { db, prepares: true }
  t.same(await databaseWarnings(database, readConfig({})), [])
  const warnings = await databaseWarnings(database, readConfig({ REVOCATION_DURABILITY: 'remote' }))
  t.match(warnings, [/synchronous_standby_names/])
})

/** A primary on which only explicit requests wait for the standby. */
async function startSynchronous(t: Test) {
  const pair = await startPair(t)
  const { asSuperuser } = pair.primary
  await asSuperuser("alter role counterfoil set synchronous_commit = 'local'")
  const waitFor = async (names: string) => {
    await asSuperuser(`alter system set synchronous_standby_names = '${names}'`)
    await asSuperuser('select pg_reload_conf()')
  }
  await waitFor('standby')
  return { ...pair, waitFor }
}

t.test('a revocation that no standby has is not acknowledged, and introspection stops', async (t) => {
  const { primary, standby, waitFor } = await startSynchronous(t)
  const world = await createWorld(t, { databaseUrl: primary.url, hot: { durability: 'remote' } })
  await setDurability(world.db, 'remote')
  const [first, second] = [await world.issue(), await world.issue()]
  const revoke = (id: string) =>
    world.app.inject({
      method: 'POST',
      url: `/v1/organizations/default/tokens/${id}/revoke`,
      headers: { authorization: `Bearer ${world.admin}` },
    })
  t.equal((await revoke(first.id)).statusCode, 200)
  await standby.kill()
  const waiting = revoke(second.id)
  const isWaiting = async (): Promise<unknown> => {
    const [row] = await primary.asSuperuser(
      "select count(*) as waiting from pg_stat_activity where wait_event = 'SyncRep'",
    )
    return Number(row?.waiting) > 0 || isWaiting()
  }
  await isWaiting()
  // The standby may have been promoted, and have accepted revocations that this primary never sees.
  const refuses = async (): Promise<string> => {
    const { status, body } = await world.ask('GET', '/readyz', { token: '' })
    return status === 503 ? body.detail : refuses()
  }
  t.ok(await refuses())
  await waitFor('')
  t.ok([200, 503].includes((await waiting).statusCode))
  t.equal((await retried(() => world.ask('GET', '/readyz', { token: '' }))).status, 200)
  const answer = await retried(() => world.ask('POST', '/introspect', { form: { token: second.secret } }))
  t.match(answer.body, { active: false })
})

import { sql } from 'kysely'
import t from 'tap'
import { v7 as uuid } from 'uuid'
import { listen } from '../../src/db/listener.ts'
import { generateSecret } from '../../src/shared/secret.ts'
import { issueInTransaction } from '../../src/tokens/create/issue.ts'
import { createTime, revokeBySql, revokeWithoutNotification, startInstance } from '../support/credentials.ts'
import { createProxy } from '../support/proxy.ts'
import { recordSecret } from '../support/records.ts'
import { until } from '../support/until.ts'
import { createWorld, day } from '../support/world.ts'

// One caller gets a quarter of the slots, and creates 150 tokens at a time below.
const world = await createWorld(t, { limits: { management: 800 } })
const other = await startInstance(t, world)
await other.lease(true)

/** A token that the other instance has cached. */
async function known(input?: Record<string, unknown>, organization?: string) {
  const token = await world.issue(input, organization)
  await other.learn(token.secret)
  return token
}

t.test('a token that was looked up once is answered from the cache', async (t) => {
  const { id, secret } = await known()
  await revokeWithoutNotification(world, id)
  await other.credentials.settled()
  t.equal(await other.accepts(secret), true)
})

const changes: Record<string, (token: { id: string; organization: string }) => Promise<unknown>> = {
  'revoked through another instance': ({ id, organization }) =>
    world.ask('POST', `/v1/organizations/${organization}/tokens/${id}/revoke`),
  'deleted through another instance': ({ id, organization }) =>
    world.ask('DELETE', `/v1/organizations/${organization}/tokens/${id}`),
  'revoked by hand in SQL': ({ id }) => revokeBySql(world, id),
  'deleted by hand in SQL': ({ id }) => world.db.deleteFrom('tokens').where('id', '=', id).execute(),
  'without its secret, deleted by hand in SQL': ({ id }) =>
    world.db.deleteFrom('tokenSecrets').where('tokenId', '=', id).execute(),
  'of a suspended organization': ({ organization }) =>
    world.ask('POST', `/v1/organizations/${organization}/suspend`),
  'of an organization deleted by hand in SQL': ({ organization }) =>
    world.db.deleteFrom('organizations').where('key', '=', organization).execute(),
}

let organizations = 0
for (const [what, change] of Object.entries(changes)) {
  t.test(`a token ${what} is no longer accepted from the cache`, async (t) => {
    organizations += 1
    const key = `org-${organizations}`
    await world.ask('POST', '/v1/organizations', { body: { key, name: key } })
    const token = await known({}, key)
    await change(token)
    await other.credentials.settled()
    t.equal(await other.accepts(token.secret), false)
  })
}

t.test('a token of a suspended type is rejected until the type is resumed', async (t) => {
  const { secret } = await known({ type: 'scim' })
  for (const [action, accepted] of [
    ['suspend', false],
    ['resume', true],
  ] as const) {
    t.equal((await world.ask('POST', `/v1/token-types/scim/${action}`)).status, 200)
    await other.credentials.settled()
    t.equal(await other.accepts(secret), accepted)
  }
})

t.test('many tokens revoked at once are all invalidated, with few notifications', async (t) => {
  const tokens = await Promise.all(Array.from({ length: 150 }, () => known({ owner: { subject: 'leaver' } })))
  let announcements = 0
  const fence = Promise.withResolvers<void>()
  const { close } = await listen(world.databaseUrl, ['counterfoil_changes', 'fence'], {
    onNotification(channel) {
      if (channel === 'fence') fence.resolve()
      else announcements += 1
    },
    onBroken: fence.reject,
  })
  await world.db
    .updateTable('tokens')
    .set({ revokedAt: world.clock.now })
    .where('ownerSubject', '=', 'leaver')
    .execute()
  await sql`notify fence`.execute(world.db)
  await fence.promise
  close()
  t.equal(announcements, 101)
  await other.credentials.settled()
  const accepted = await Promise.all(tokens.map(({ secret }) => other.accepts(secret)))
  t.same(new Set(accepted), new Set([false]))
})

t.test('a token that was cached as unknown is good as soon as it is created', async (t) => {
  const secret = generateSecret('api')
  recordSecret(secret.reveal())
  t.equal(await other.accepts(secret.reveal()), false)
  const organization = await world.db
    .selectFrom('organizations')
    .select('id')
    .where('key', '=', 'default')
    .executeTakeFirstOrThrow()
  const input = {
    name: 'Given',
    type: 'api',
    comment: null,
    owner: null,
    scopes: [],
    audience: undefined,
    metadata: {},
    allowedCidrs: null,
    narrowedTo: null,
    notBefore: null,
    expiry: undefined,
  }
  const origin = {
    actor: { type: 'system', id: 'test', name: 'Test' } as const,
    requestId: uuid(),
    ip: null,
    now: world.clock.now,
  }
  await world.db
    .transaction()
    .execute((tx) => issueInTransaction(tx, organization.id, { origin, input, secretFrom: secret }))
  await other.credentials.settled()
  t.equal(await other.accepts(secret.reveal()), true)
})

t.test('a cached token expires and becomes valid by the clock', async (t) => {
  const now = world.clock.now.getTime()
  const { secret } = await known({ expires_at: new Date(now + 3 * day).toISOString() })
  const early = await world.issue({ not_before: new Date(now + day).toISOString() })
  t.equal(await other.accepts(early.secret), false)
  world.clock.advance(2 * day)
  t.equal(await other.accepts(secret), true)
  t.equal(await other.accepts(early.secret), true)
  world.clock.advance(day)
  t.equal(await other.accepts(secret), false)
})

t.test('recording a use is not announced', async (t) => {
  const { id, secret } = await known()
  await world.db
    .updateTable('tokenUses')
    .set({ lastUsedAt: world.clock.now, lastUsedIp: '192.0.2.1', useCount: '7' })
    .where('tokenId', '=', id)
    .execute()
  await revokeWithoutNotification(world, id)
  await other.credentials.settled()
  t.equal(await other.accepts(secret), true)
})

t.test('a change is acknowledged only after the instance has seen it itself', async (t) => {
  const time = createTime()
  const proxy = await createProxy(t, world.databaseUrl)
  const lease = Promise.withResolvers<void>()
  const hot = { ...time, listenUrl: proxy.url, onLease: () => lease.resolve() }
  const slow = await createWorld(t, { hot, databaseUrl: world.databaseUrl, signing: world.signing })
  await lease.promise
  const headers = { authorization: `Bearer ${world.admin}` }
  const payload = (token: string) => new URLSearchParams({ token }).toString()
  const form = { ...headers, 'content-type': 'application/x-www-form-urlencoded' }
  const introspect = async (token: string) => {
    const url = '/introspect'
    return (await slow.app.inject({ method: 'POST', url, headers: form, payload: payload(token) })).json()
      .active
  }
  const [byId, bySecret, deleted] = [await world.issue(), await world.issue(), await world.issue()]
  for (const { secret } of [byId, bySecret, deleted]) t.equal(await introspect(secret), true)
  const urlOf = (id: string) => `/v1/organizations/default/tokens/${id}`

  proxy.freeze()
  const revocations = await Promise.all([
    slow.app.inject({ method: 'POST', url: `${urlOf(byId.id)}/revoke`, headers }),
    slow.app.inject({ method: 'POST', url: '/revoke', headers: form, payload: payload(bySecret.secret) }),
  ])
  for (const { statusCode } of revocations)
    t.equal(statusCode, 200, 'one secret is forgotten without the news')
  for (const { secret } of [byId, bySecret]) t.equal(await introspect(secret), false)

  let isAcknowledged = false
  const deletion = slow.app.inject({ method: 'DELETE', url: urlOf(deleted.id), headers }).then((response) => {
    t.equal(response.statusCode, 204)
    isAcknowledged = true
  })
  const isThere = () => world.db.selectFrom('tokens').select('id').where('id', '=', deleted.id).execute()
  await until(async () => (await isThere()).length === 0)
  await introspect(deleted.secret)
  t.equal(isAcknowledged, false)
  proxy.thaw()
  await deletion
  t.equal(await introspect(deleted.secret), false)
})

import t from 'tap'
import { createWorld } from '../support/world.ts'
import { startReceiver, verifies } from './receiver.ts'

const world = await createWorld(t, { outbound: { allow: ['127.0.0.1'] } })
const { ask } = world
// Events of the bootstrap, which no webhook gets.
await world.dispatcher.flush()
const collection = '/v1/organizations/default/webhooks'

t.test('the secret is shown once, and sealed in the database', async (t) => {
  const { url } = await startReceiver(t)
  const created = await ask('POST', collection, { body: { url, events: ['token.created'] } })
  t.match(created, {
    status: 201,
    headers: { location: `${collection}/${created.body.id}`, etag: '"1"', 'cache-control': 'no-store' },
    body: { url, events: ['token.created'], signature: 'hmac', status: 'active', secret: /^whsec_/ },
  })
  const read = await ask('GET', `${collection}/${created.body.id}`)
  t.match(read, { status: 200, body: { id: created.body.id, url } })
  t.notOk('secret' in read.body)
  const { rows } = await world.sql('select to_json(webhooks)::text as row from webhooks where id = $1', [
    created.body.id,
  ])
  const key = Buffer.from(created.body.secret.slice(6), 'base64')
  for (const encoding of ['base64', 'base64url', 'hex'] as const)
    t.notOk(rows[0].row.includes(key.toString(encoding)), encoding)
  await ask('DELETE', `${collection}/${created.body.id}`)
})

t.test('a webhook gets the events that it subscribes to, signed and without secrets', async (t) => {
  const receiver = await startReceiver(t)
  const body = { url: `${receiver.url}/in?x=1`, events: ['token.created', 'token.revoked'] }
  const { body: webhook } = await ask('POST', collection, { body })
  const owner = { subject: 'u-1', email: 'ada@example.com' }
  const token = await world.issue({ name: 'Deploy', owner, lifetime_days: 30 })
  await ask('PATCH', `/v1/organizations/default/tokens/${token.id}`, { body: { comment: 'Changed' } })
  await ask('POST', `/v1/organizations/default/tokens/${token.id}/rotate`, { body: {} })
  await ask('POST', `/v1/organizations/default/tokens/${token.id}/revoke`)
  await world.dispatcher.flush()
  t.same(receiver.types(), ['token.created', 'token.revoked'])
  const [created] = receiver.messages
  t.match(created, {
    path: '/in?x=1',
    headers: { 'content-type': 'application/json', 'user-agent': 'counterfoil' },
    body: {
      timestamp: world.clock.now.toISOString(),
      data: {
        organization: 'default',
        token: { id: token.id, name: 'Deploy', type: 'api', owner: 'u-1', expires_at: token.expires_at },
        actor: { type: 'token', name: 'Bootstrap administrator' },
      },
    },
  })
  t.match(created?.body.data.token.hint, /…|\*/)
  for (const message of receiver.messages) {
    t.ok(verifies(message, webhook.secret))
    t.notOk(message.text.includes(token.secret))
  }
  const { body: log } = await ask('GET', '/v1/organizations/default/audit-events?action=token.created')
  t.equal(created?.headers['webhook-id'], log.items[0].id, 'the id is that of the change log')
  await ask('DELETE', `${collection}/${webhook.id}`)
})

t.test("a webhook sees its organization's events only, one of the platform those of all", async (t) => {
  await ask('POST', '/v1/organizations', { body: { key: 'acme', name: 'Acme' } })
  const receivers = new Map<string, Awaited<ReturnType<typeof startReceiver>>>()
  for (const key of ['default', 'acme', 'platform']) {
    const receiver = await startReceiver(t)
    receivers.set(key, receiver)
    const body = { url: receiver.url, events: ['token.created', 'signing_key.rotated'] }
    t.equal((await ask('POST', `/v1/organizations/${key}/webhooks`, { body })).status, 201)
  }
  await world.issue({}, 'default')
  await world.issue({}, 'acme')
  await ask('POST', '/v1/signing-keys/rotate', { body: { immediately: true } })
  await world.dispatcher.flush()
  const got = (key: string) =>
    receivers.get(key)?.messages.map(({ body }) => `${body.type} ${body.data.organization}`)
  t.same(got('default'), ['token.created default'])
  t.same(got('acme'), ['token.created acme'])
  t.same(got('platform')?.sort(), [
    'signing_key.rotated platform',
    'token.created acme',
    'token.created default',
  ])
  await world.sql('delete from webhooks')
})

t.test('a change that is rolled back tells nothing', async (t) => {
  const receiver = await startReceiver(t)
  await ask('POST', collection, { body: { url: receiver.url } })
  await ask('PUT', '/v1/organizations/default/policy', { body: { name: { unique: true } } })
  const name = 'The only one'
  await world.issue({ name })
  const again = await ask('POST', '/v1/organizations/default/tokens', { body: { name, type: 'api' } })
  t.equal(again.status, 409)
  await ask('PUT', '/v1/organizations/default/policy', { body: {} })
  await world.dispatcher.flush()
  t.same(receiver.types(), ['token.created'])
  await world.sql('delete from webhooks')
})

t.test('after a rotation both secrets verify until the overlap ends', async (t) => {
  const receiver = await startReceiver(t)
  const { body: before } = await ask('POST', collection, { body: { url: receiver.url } })
  const item = `${collection}/${before.id}`
  const { body: after } = await ask('POST', `${item}/rotate-secret`, { body: { overlap_seconds: 3600 } })
  t.match(after, { secret: /^whsec_/, previous_secret_until: '2026-03-01T13:00:00.000Z' })
  const verified = async () => {
    t.equal((await ask('POST', `${item}/test`)).status, 202)
    await world.dispatcher.flush()
    const message = receiver.messages.at(-1)
    return message && [before.secret, after.secret].map((secret) => verifies(message, secret))
  }
  t.same(await verified(), [true, true])
  world.clock.advance(3_600_000)
  t.same(await verified(), [false, true])
  await ask('DELETE', item)
})

t.test('an ed25519 webhook has a public key and no secret', async (t) => {
  const { url } = await startReceiver(t)
  const { body: webhook } = await ask('POST', collection, { body: { url, signature: 'ed25519' } })
  t.match(webhook, { secret: null, public_keys: [/^whpk_/] })
  const { body: rotated } = await ask('POST', `${collection}/${webhook.id}/rotate-secret`, { body: {} })
  t.equal(rotated.public_keys.length, 2)
  t.equal(rotated.public_keys[1], webhook.public_keys[0])
  await ask('DELETE', `${collection}/${webhook.id}`)
})

t.test('bad webhooks are rejected, naming the member', async (t) => {
  const url = 'https://hooks.example/'
  const bad: [status: number, field: string, body: object][] = [
    [400, 'url', {}],
    [400, 'url', { url: 'ftp://hooks.example' }],
    [400, 'url', { url: 'https://hooks.example/a b' }],
    [400, 'url', { url: `${url}${'x'.repeat(1000)}` }],
    [422, 'url', { url: 'http://hooks.example/' }],
    [422, 'url', { url: 'https://user:password@hooks.example/' }],
    [422, 'url', { url: 'https://10.0.0.1/' }],
    [422, 'url', { url: 'https://[::1]/' }],
    [422, 'url', { url: 'https://169.254.169.254/latest/meta-data' }],
    [400, 'events.0', { url, events: ['token.unknown'] }],
    [400, 'events', { url, events: [] }],
    [400, 'events', { url, events: ['token.created', 'token.created'] }],
    [400, 'signature', { url, signature: 'none' }],
    [400, 'secret', { url, secret: 'whsec_of-my-own' }],
  ]
  const before = (await ask('GET', collection)).body.items.length
  for (const [status, field, body] of bad) {
    const answer = await ask('POST', collection, { body })
    t.equal(answer.status, status, JSON.stringify(body))
    t.equal(answer.body.errors[0].field, field, answer.text)
  }
  t.equal((await ask('POST', collection, { body: { url, description: 'x'.repeat(70_000) } })).status, 413)
  t.equal((await ask('GET', collection)).body.items.length, before)
})

t.test('the 51st webhook of an organization is rejected', async (t) => {
  await ask('POST', '/v1/organizations', { body: { key: 'many', name: 'Many' } })
  const answers = []
  for (let n = 0; n <= 50; n += 1)
    answers.push(
      await ask('POST', '/v1/organizations/many/webhooks', { body: { url: 'https://hooks.example/' } }),
    )
  t.ok(answers.slice(0, 50).every(({ status }) => status === 201))
  t.match(answers[50], { status: 409, body: { code: 'limit_reached' } })
})

t.test('the change log and the logs have no path of a URL, which may be a secret', async (t) => {
  const { body } = await ask('POST', collection, { body: { url: 'https://hooks.example/T0/very-secret' } })
  await ask('PATCH', `${collection}/${body.id}`, { body: { url: 'https://hooks.example/very-secret-too' } })
  await ask('DELETE', `${collection}/${body.id}`)
  const { text } = await ask('GET', `/v1/organizations/default/audit-events?target=${body.id}`)
  t.match(text, /"https:\/\/hooks.example"/)
  t.notMatch(text, /very-secret/)
})

t.test('without a master key a webhook is rejected with what to do', async (t) => {
  const keyless = await createWorld(t, { signing: { masterKeys: [] } })
  const answer = await keyless.ask('POST', collection, { body: { url: 'https://hooks.example/' } })
  t.match(answer, { status: 409, body: { code: 'signing_unavailable', detail: /set MASTER_KEY/ } })
})

import t, { type Test } from 'tap'
import { createTrustingWorld } from '../issuers/trust.ts'
import { audience, listen, risc, startTransmitter } from './transmitter.ts'

const world = await createTrustingWorld(t)
const base = '/v1/organizations/default'
const isActive = async ({ secret }: { secret: string }) => (await world.introspect(secret)).active

/** A transmitter that is polled, and nothing else is. */
async function polled(t: Test, stream: object = {}) {
  await world.sql('update signal_streams set enabled = false')
  const transmitter = await startTransmitter(t, () => world.clock.now)
  const listening = await listen(world, transmitter, { poll_url: transmitter.pollUrl, ...stream })
  let count = 0
  return {
    ...listening,
    transmitter,
    stream: async () => (await world.ask('GET', listening.path)).body,
    /** Offers an event about this subject. */
    async offer(type: string, sub: string, more: { claims?: object; header?: object } = {}) {
      const jti = `jti-${++count}`
      const subject = { format: 'iss_sub', iss: transmitter.issuer, sub }
      const claims = { jti, ...more.claims }
      transmitter.offered.set(jti, await transmitter.event(`${risc}${type}`, subject, { ...more, claims }))
      return jti
    },
    async poll() {
      world.clock.advance(600_000)
      await world.signals.poll()
    },
  }
}

t.test('events are fetched, take effect and are acknowledged', async (t) => {
  const { offer, poll, transmitter, stream } = await polled(t)
  const token = await world.issue({ owner: { subject: 'leaver' } })
  const jti = await offer('account-disabled', 'leaver')
  await poll()
  t.equal(await isActive(token), false)
  t.match(transmitter.requests, [
    { maxEvents: Number, returnImmediately: true, ack: [], setErrs: {} },
    { ack: [jti] },
  ])
  t.equal(transmitter.offered.size, 0)
  t.match(await stream(), { received: 1, polled_at: String, poll_error: null })
})

t.test('more events than fit into one response are fetched in one poll', async (t) => {
  const { offer, poll, transmitter, stream } = await polled(t)
  for (let i = 0; i < 120; i++) await offer('account-disabled', `stranger-${i}`)
  await poll()
  t.equal(transmitter.offered.size, 0)
  t.match(await stream(), { received: 120, unknown_subjects: 120 })
})

t.test('events of one response are taken in the order of iat', async (t) => {
  const { offer, poll } = await polled(t)
  const token = await world.issue({ owner: { subject: 'ordered' } })
  const iat = Math.floor(world.clock.now.getTime() / 1000)
  await offer('account-enabled', 'ordered', { claims: { iat: iat - 5 } })
  await offer('account-disabled', 'ordered', { claims: { iat: iat - 10 } })
  await poll()
  t.equal(await isActive(token), true)
})

t.test('invalid events are rejected with setErrs, and the others take effect', async (t) => {
  const { offer, poll, transmitter, stream } = await polled(t)
  const token = await world.issue({ owner: { subject: 'beside' } })
  const audience = await offer('account-disabled', 'x', { claims: { aud: 'other' } })
  const issuer = await offer('account-disabled', 'x', { claims: { iss: 'https://other.example' } })
  const typ = await offer('account-disabled', 'x', { header: { typ: 'JWT' } })
  const key = await offer('account-disabled', 'x', { header: { kid: 'k2' } })
  const jti = await offer('account-disabled', 'x', { claims: { jti: 'another' } })
  transmitter.offered.set('garbage', 'garbage')
  const good = await offer('account-disabled', 'beside')
  await poll()
  t.equal(await isActive(token), false)
  const { ack, setErrs = {} } = transmitter.requests[1] ?? {}
  t.same(ack, [good])
  t.same(Object.fromEntries(Object.entries(setErrs).map(([name, { err }]) => [name, err])), {
    [audience]: 'invalid_audience',
    [issuer]: 'invalid_issuer',
    [typ]: 'invalid_request',
    [key]: 'invalid_key',
    [jti]: 'invalid_request',
    garbage: 'invalid_request',
  })
  t.match(await stream(), { received: 1, poll_error: null })
})

t.test('an event that was pushed and is polled too has one effect', async (t) => {
  const { offer, poll, push, transmitter, stream } = await polled(t)
  const token = await world.issue({ owner: { subject: 'both' } })
  const jti = await offer('account-disabled', 'both')
  t.equal((await push(transmitter.offered.get(jti) ?? '')).status, 202)
  await world.ask('POST', `${base}/owners/both/resume`)
  await poll()
  t.equal(await isActive(token), true)
  t.equal(transmitter.offered.size, 0, 'it is acknowledged')
  t.match(await stream(), { received: 2, duplicates: 1 })
})

t.test('an outage is shown, polled less often, and followed by all events', async (t) => {
  const { offer, transmitter, stream } = await polled(t)
  const token = await world.issue({ owner: { subject: 'after-outage' } })
  await offer('account-disabled', 'after-outage')
  transmitter.isDown = true
  const attempt = async (seconds: number) => {
    world.clock.advance(seconds * 1000)
    await world.signals.poll()
    return (await stream()).polled_at
  }
  const first = await attempt(11)
  t.match(await stream(), { poll_error: /^poll_url responds with the status 503/ })
  t.equal(await attempt(11), first, 'it waits longer after a failure')
  t.not(await attempt(60), first)
  transmitter.isDown = false
  await attempt(600)
  t.match(await stream(), { poll_error: null, received: 1 })
  t.equal(await isActive(token), false)
})

t.test('while the keys cannot be fetched, events are neither acknowledged nor refused', async (t) => {
  const { offer, poll, transmitter, stream } = await polled(t, { jwks_uri: 'http://127.0.0.1:1/jwks.json' })
  await offer('account-disabled', 'nobody')
  await poll()
  t.equal(transmitter.offered.size, 1)
  t.match(await stream(), { received: 0, poll_error: /keys of the issuer could not be fetched/ })
})

t.test('responses that are no answer to a poll are failures', async (t) => {
  const { path, poll, stream, transmitter } = await polled(t)
  transmitter.authorization = 'Bearer needed'
  await poll()
  t.match(await stream(), { poll_error: /status 401/ })
  await world.ask('PUT', path, {
    body: { audience, poll_url: transmitter.jwksUri },
  })
  await poll()
  t.match(await stream(), { poll_error: /does not respond with sets/ })
})

t.test(
  'the credential for polling is sent, encrypted in the database, kept by a PUT and never shown',
  async (t) => {
    const { path, poll, offer, transmitter, stream } = await polled(t, {
      poll_authorization: 'Bearer poll-secret-1',
    })
    transmitter.authorization = 'Bearer poll-secret-1'
    const { rows } = await world.sql('select row_to_json(s)::text as text from signal_streams s')
    t.notMatch(rows.map(({ text }) => text).join(), /poll-secret/)
    const kept = await world.ask('PUT', path, { body: { audience, poll_url: transmitter.pollUrl } })
    t.match(kept.body, { has_poll_authorization: true })
    t.notMatch(kept.text, /poll-secret/)
    await offer('account-disabled', 'nobody')
    await poll()
    t.match(await stream(), { received: 1, poll_error: null })
    const gone = await world.ask('PUT', path, {
      body: { audience, poll_url: transmitter.pollUrl, poll_authorization: null },
    })
    t.match(gone.body, { has_poll_authorization: false })
    const log = await world.ask('GET', `${base}/audit-events?limit=50`)
    t.notMatch(log.text, /poll-secret/)
  },
)

t.test('the credential for polling is not sent to another URL unless it is given again', async (t) => {
  const { path, poll, transmitter, stream } = await polled(t, { poll_authorization: 'Bearer poll-secret-3' })
  const other = await startTransmitter(t, () => world.clock.now)
  const put = (poll_url: string | null, more: object = {}) =>
    world.ask('PUT', path, { body: { audience, poll_url, ...more } })
  const refusal = {
    status: 422,
    body: { errors: [{ in: 'body', field: 'poll_authorization', detail: /must be given again/ }] },
  }
  t.match(await put(other.pollUrl), refusal)
  t.match(await put(null), { status: 200, body: { has_poll_authorization: true } })
  t.match(await put(other.pollUrl), refusal, 'also by way of push')
  t.match(await put(other.pollUrl, { poll_authorization: null }), {
    status: 200,
    body: { has_poll_authorization: false },
  })
  await poll()
  t.match(await stream(), { poll_error: null })
  t.match(other.requests, [{ ack: [] }], 'it was asked without the credential')
  t.match(await put(transmitter.pollUrl, { poll_authorization: 'Bearer poll-secret-4' }), {
    status: 200,
    body: { has_poll_authorization: true },
  })
})

t.test('a transmitter that does not answer holds up no other', async (t) => {
  const { offer, transmitter, stream } = await polled(t)
  await offer('account-disabled', 'waiting')
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  transmitter.beforeAnswer = () => {
    asked.resolve()
    return answer.promise
  }
  world.clock.advance(600_000)
  const waiting = world.signals.poll()
  await asked.promise
  const other = await startTransmitter(t, () => world.clock.now)
  await listen(world, other, { poll_url: other.pollUrl })
  world.clock.advance(1)
  await world.signals.poll()
  t.equal(other.requests.length, 1)
  answer.resolve()
  await waiting
  t.match(await stream(), { received: 1, poll_error: null })
})

t.test('a stream that is deleted while it is polled is no error', async (t) => {
  const { path, transmitter } = await polled(t)
  transmitter.beforeAnswer = () => world.ask('DELETE', path)
  const other = await startTransmitter(t, () => world.clock.now)
  await listen(world, other, { poll_url: other.pollUrl })
  world.clock.advance(600_000)
  await world.signals.poll()
  t.equal(transmitter.requests.length, 1)
  t.equal(other.requests.length, 1, 'the next one is polled')
  t.equal((await world.ask('GET', path)).status, 404)
})

t.test('a credential under a master key that is gone is an error that says what to do', async (t) => {
  const { poll, stream } = await polled(t, { poll_authorization: 'Bearer poll-secret-2' })
  await world.sql(
    "update signal_streams set poll_authorization = jsonb_set(poll_authorization, '{tag}', '\"AAAA\"') where enabled",
  )
  await poll()
  t.match(await stream(), { poll_error: /No master key opens poll_authorization: set it again/ })
})

t.test('of two instances, one polls', async (t) => {
  const { offer, transmitter } = await polled(t)
  const second = await createTrustingWorld(t, {
    databaseUrl: world.databaseUrl,
    signing: world.signing,
  })
  await offer('account-disabled', 'nobody')
  world.clock.advance(600_000)
  second.clock.now = world.clock.now
  await Promise.all([world.signals.poll(), second.signals.poll()])
  const fetching = transmitter.requests.filter(({ ack = [] }) => ack.length === 0)
  t.equal(fetching.length, 1)
})

t.test('what may not be called is rejected, and members are checked', async (t) => {
  const { path, transmitter } = await polled(t)
  for (const [body, field, status] of [
    [{ audience, poll_url: 'https://10.0.0.1/poll' }, 'poll_url', 422],
    [{ audience, poll_url: 'ftp://x' }, 'poll_url', 422],
    [{ audience, jwks_uri: 'http://example.com/jwks.json' }, 'jwks_uri', 422],
    [{ audience, actions: { 'https://x': 'explode' } }, 'actions.https://x', 400],
    [{}, 'audience', 400],
    [{ audience, poll_authorization: 'a\nb' }, 'poll_authorization', 400],
  ] as const)
    t.match(await world.ask('PUT', path, { body }), { status, body: { errors: [{ in: 'body' }] } }, field)
  t.equal((await world.ask('PUT', path, { body: { audience, poll_url: transmitter.pollUrl } })).status, 200)
})

t.test('without a master key there is no credential for polling', async (t) => {
  const plain = await createTrustingWorld(t, { signing: { masterKeys: [] } })
  const transmitter = await startTransmitter(t, () => plain.clock.now)
  const { path } = await listen(plain, transmitter)
  const body = {
    audience,
    poll_url: transmitter.pollUrl,
    poll_authorization: 'x',
  }
  t.match(await plain.ask('PUT', path, { body }), {
    status: 422,
    body: { errors: [{ field: 'poll_authorization', detail: /MASTER_KEY/ }] },
  })
})

import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { SignJWT } from 'jose'
import t from 'tap'
import { createTrustingWorld } from '../issuers/trust.ts'
import { audience, caep, listen, risc, ssf, startTransmitter } from './transmitter.ts'

const world = await createTrustingWorld(t)
const transmitter = await startTransmitter(t, () => world.clock.now)
const { id, path, push } = await listen(world, transmitter)
const base = '/v1/organizations/default'

const sub = (name: string) => ({ format: 'iss_sub', iss: transmitter.issuer, sub: name })
const stream = async () => (await world.ask('GET', path)).body
const owner = async (subject: string) => (await world.ask('GET', `${base}/owners/${subject}`)).body
const log = async (subject: string) =>
  (await world.ask('GET', `${base}/audit-events?target=${subject}`)).body.items
const isActive = async ({ secret }: { secret: string }) => (await world.introspect(secret)).active
const send = async (type: string, subject: unknown, more = {}) =>
  push(await transmitter.event(type, subject, more))

t.test('what each event does by default', async (t) => {
  const rows: [type: string, suspendedBy: string[], isRevoked: boolean, logged: string[]][] = [
    [
      `${risc}account-disabled`,
      [`signals:${id}:account-disabled`],
      false,
      ['owner.suspended', 'owner.signal_received'],
    ],
    [
      `${risc}credential-compromise`,
      [`signals:${id}:credential-compromise`],
      false,
      ['owner.suspended', 'owner.signal_received'],
    ],
    [
      `${risc}account-purged`,
      [`signals:${id}:account-purged`],
      true,
      ['owner.suspended', 'owner.signal_received'],
    ],
    [`${risc}account-enabled`, [], false, ['owner.signal_received']],
    [`${caep}session-revoked`, [], false, ['owner.signal_received']],
    [`${caep}credential-change`, [], false, []],
    [`${risc}sessions-revoked`, [], false, []],
    [`${caep}device-compliance-change`, [], false, []],
    ['https://vendor.example/event', [], false, []],
  ]
  const bystander = await world.issue({ owner: { subject: 'bystander' } })
  for (const [index, [type, suspended_by, isRevoked, logged]] of rows.entries()) {
    const subject = `u-${index}`
    const tokens = [await world.issue({ owner: { subject } }), await world.issue({ owner: { subject } })]
    const jti = randomUUID()
    t.match(await send(type, sub(subject), { claims: { jti } }), { status: 202, text: '' }, type)
    for (const token of tokens) t.equal(await isActive(token), suspended_by.length === 0, type)
    t.same((await owner(subject)).suspended_by, suspended_by, type)
    const entries = await log(subject)
    t.same(
      entries.map(({ action }: any) => action),
      logged,
      type,
    )
    for (const { changes, actor } of entries) {
      t.match(changes.after, { event: type, jti, issuer: transmitter.issuer }, type)
      t.match(actor, { type: 'system', id: `signals:${id}`, name: 'Sign-in' })
    }
    const { body } = await world.ask('GET', `${base}/tokens/${tokens[0].id}`)
    t.equal(body.status, isRevoked ? 'revoked' : 'active', type)
    if (isRevoked) t.match(body.revoked_reason, new RegExp(jti))
  }
  t.equal(await isActive(bystander), true)
})

t.test('a return ends what the departure suspended, and nothing else', async (t) => {
  const suspended: [string, string][] = [
    [`${risc}account-disabled`, 'active'],
    [`${risc}credential-compromise`, 'inactive'],
    [`${risc}account-purged`, 'inactive'],
  ]
  for (const [type, expected] of suspended) {
    const subject = `return-${type.split('/').at(-1)}`
    const token = await world.issue({ owner: { subject } })
    await send(type, sub(subject))
    t.equal(await isActive(token), false)
    await send(`${risc}account-enabled`, sub(subject))
    t.equal((await isActive(token)) ? 'active' : 'inactive', expected, type)
  }
  const token = await world.issue({ owner: { subject: 'by-hand' } })
  await world.ask('POST', `${base}/owners/by-hand/suspend`)
  await send(`${risc}account-enabled`, sub('by-hand'))
  t.equal(await isActive(token), false, 'an administrator suspended it')
})

t.test('each way to name a user finds the owner', async (t) => {
  const scim = await world.manager(['scim'])
  const subjects: [what: string, make: (name: string) => unknown][] = [
    ['iss_sub', (name) => sub(name)],
    ['opaque', (name) => ({ format: 'opaque', id: name })],
    ['email', (name) => ({ format: 'email', email: `${name.toUpperCase()}@example.com` })],
    ['account', (name) => ({ format: 'account', uri: `acct:${name}@example.com` })],
    ['aliases', (name) => ({ format: 'aliases', identifiers: [{ format: 'opaque', id: 'x' }, sub(name)] })],
    ['complex', (name) => ({ format: 'complex', user: sub(name), device: { format: 'opaque', id: 'x' } })],
    [
      'complex, before it had a format',
      (name) => ({ user: { format: 'email', email: `${name}@example.com` } }),
    ],
    ['legacy', (name) => ({ subject_type: 'iss-sub', iss: transmitter.issuer, sub: name })],
    ['legacy e-mail', (name) => ({ subject_type: 'email', email: `${name}@example.com` })],
    [
      'legacy claims',
      (name) => ({ subject_type: 'id-token-claims', iss: transmitter.issuer, sub: name, email: 'x@y' }),
    ],
    ['the id in the directory', (name) => ({ format: 'opaque', id: `external-${name}` })],
  ]
  for (const [index, [what, make]] of subjects.entries()) {
    for (const where of ['sub_id', 'subject'] as const) {
      const name = `named-${index}-${where}`
      const body = { userName: name, externalId: `external-${name}`, emails: [`${name}@example.com`] }
      t.equal((await world.ask('POST', '/scim/v2/Users', { token: scim, body })).status, 201)
      const token = await world.issue({ owner: { subject: name } })
      const subject = make(name)
      const more = where === 'subject' ? { claims: { sub_id: undefined }, payload: { subject } } : {}
      t.equal((await send(`${risc}account-disabled`, subject, more)).status, 202, what)
      t.equal(await isActive(token), false, `${what} in ${where}`)
    }
  }
})

t.test('events of an issuer of the platform reach its users in every organization', async (t) => {
  for (const key of ['acme', 'globex'])
    await world.ask('POST', '/v1/organizations', { body: { key, name: key } })
  const places = ['acme', 'globex', 'platform'] as const
  const registrations = { 'of many organizations': 'tenant', 'of the platform itself': null }
  for (const [users, claim] of Object.entries(registrations)) {
    const everywhere = await startTransmitter(t, () => world.clock.now)
    const platform = { organization: 'platform', claims: { organization: claim } }
    const stream = await listen(world, everywhere, {}, platform)
    const user = (name: string) => ({ format: 'iss_sub', iss: everywhere.issuer, sub: name })
    /** Who of the users with this name can still use their tokens after the event, by organization. */
    const after = async (name: string, type: string, subject: unknown) => {
      const tokens = await Promise.all(places.map((key) => world.issue({ owner: { subject: name } }, key)))
      t.equal((await stream.push(await everywhere.event(type, subject))).status, 202)
      const active = await Promise.all(tokens.map(isActive))
      return places.filter((_, index) => active[index])
    }
    const unreached = claim === null ? [] : ['platform']
    const named = (what: string) => `${what} ${users}`
    const [one, two, three, four] = ['one', 'two', 'three', 'four'].map(named) as [
      string,
      string,
      string,
      string,
    ]
    t.same(await after(one, `${risc}account-disabled`, user(one)), unreached, users)
    t.same(await after(two, `${risc}account-purged`, user(two)), unreached, users)
    const tenant = (id: string, name: string) => ({
      format: 'complex',
      user: user(name),
      tenant: { format: 'opaque', id },
    })
    t.same(await after(three, `${risc}account-disabled`, tenant('ACME', three)), ['globex', 'platform'])
    t.same(await after(four, `${risc}account-disabled`, tenant('unknown', four)), places)
    t.match((await world.ask('GET', stream.path)).body, { received: 4, unknown_subjects: 1 })
    const [entry] = (
      await world.ask('GET', `/v1/organizations/globex/audit-events?target=${encodeURIComponent(one)}`)
    ).body.items
    t.match(entry, { action: 'owner.suspended', actor: { type: 'system', id: `signals:${stream.id}` } })
  }
})

t.test('only who reaches every organization can have the events of an issuer of the platform', async (t) => {
  const everywhere = await startTransmitter(t, () => world.clock.now)
  const platform = { organization: 'platform', claims: { organization: 'tenant' } }
  const { path } = await listen(world, everywhere, {}, platform)
  const scopes = ['policy:write', 'tokens:write', 'tokens:introspect']
  const narrowed = await world.manager(scopes, 'platform', {
    narrowed_to: { organizations: ['platform', 'default'] },
  })
  for (const method of ['PUT', 'DELETE'])
    t.match(
      await world.ask(method, path, { token: narrowed, ...(method === 'PUT' && { body: { audience } }) }),
      {
        status: 403,
      },
    )
})

t.test('unknown subjects are acknowledged and counted', async (t) => {
  const before = await stream()
  const unknown = [
    sub('nobody'),
    { format: 'iss_sub', iss: 'https://other.example', sub: 'bystander' },
    { format: 'email', email: 'nobody@example.com' },
    { format: 'phone_number', phone_number: '+1' },
    { format: 'opaque', id: 'a\0b' },
    { format: 'opaque', id: { $ne: null } },
    { format: 'opaque', id: 'x'.repeat(5000) },
    { format: 'aliases', identifiers: 'x' },
    { user: { user: { user: { user: sub('bystander') } } } },
    undefined,
    7,
  ]
  for (const subject of unknown)
    t.equal((await send(`${risc}account-disabled`, subject)).status, 202, JSON.stringify(subject))
  const after = await stream()
  t.equal(after.unknown_subjects - before.unknown_subjects, unknown.length)
  t.equal(after.received - before.received, unknown.length)
  t.match(await owner('bystander'), { suspended_by: [] })
})

t.test('an event that is repeated is acknowledged, and has no effect a second time', async (t) => {
  const token = await world.issue({ owner: { subject: 'twice' } })
  const event = await transmitter.event(`${risc}account-disabled`, sub('twice'))
  t.equal((await push(event)).status, 202)
  await world.ask('POST', `${base}/owners/twice/resume`)
  const { duplicates } = await stream()
  const answers = await Promise.all([1, 2, 3].map(() => push(event)))
  t.same(
    answers.map(({ status }) => status),
    [202, 202, 202],
  )
  t.equal(await isActive(token), true)
  t.equal((await stream()).duplicates, duplicates + 3)
})

t.test('the same event sent several times at once takes effect once', async (t) => {
  await world.issue({ owner: { subject: 'at-once' } })
  const event = await transmitter.event(`${caep}session-revoked`, sub('at-once'))
  const answers = await Promise.all(Array.from({ length: 5 }, () => push(event)))
  t.ok(answers.every(({ status }) => status === 202))
  t.equal((await log('at-once')).length, 1)
})

t.test('an older event that arrives later changes nothing', async (t) => {
  const token = await world.issue({ owner: { subject: 'late' } })
  const at = (seconds: number) => ({
    claims: { iat: Math.floor(world.clock.now.getTime() / 1000) + seconds },
  })
  await send(`${risc}account-disabled`, sub('late'), at(-10))
  await send(`${risc}account-enabled`, sub('late'), at(-60))
  t.equal(await isActive(token), false, 'a return from before the departure')
  await send(`${risc}account-enabled`, sub('late'), at(-5))
  t.equal(await isActive(token), true)
  await send(`${risc}account-disabled`, sub('late'), at(-8))
  t.equal(await isActive(token), true, 'a departure from before the return')
  await send(`${risc}credential-compromise`, sub('late'), at(-90))
  t.equal(await isActive(token), false, 'a compromise counts whenever it was')
})

t.test(
  'a verification event is recorded with its state; an update of the stream is only counted',
  async (t) => {
    const state = 'VGhpcyBpcyBhbiBleGFtcGxl'
    await send(`${ssf}verification`, { format: 'opaque', id: 'stream' }, { payload: { state } })
    t.match(await stream(), { verification_state: state, verified_at: world.clock.now.toISOString() })
    const { received } = await stream()
    await send(`${ssf}stream-updated`, { format: 'opaque', id: 'stream' }, { payload: { status: 'paused' } })
    t.match(await stream(), { received: received + 1, enabled: true })
  },
)

t.test('what an event does can be chosen for each type', async (t) => {
  const actions = {
    [`${caep}session-revoked`]: 'suspend',
    [`${risc}account-disabled`]: 'notify',
    [`${risc}account-purged`]: 'ignore',
    'https://vendor.example/left': 'revoke',
  }
  const put = await world.ask('PUT', path, { body: { audience, actions } })
  t.match(put.body.actions, { ...actions, [`${risc}account-enabled`]: 'resume' })
  for (const [type, subject, active] of [
    [`${caep}session-revoked`, 'own-1', false],
    [`${risc}account-disabled`, 'own-2', true],
    [`${risc}account-purged`, 'own-3', true],
    ['https://vendor.example/left', 'own-4', false],
  ] as const) {
    const token = await world.issue({ owner: { subject } })
    await send(type, sub(subject))
    t.equal(await isActive(token), active, type)
  }
  await world.ask('PUT', path, { body: { audience } })
})

const invalid: [what: string, make: () => string | Promise<string>, err: string][] = [
  ['nothing readable', () => 'x', 'invalid_request'],
  ['no JWT', () => 'a.b.c', 'invalid_request'],
  ['JSON', () => '{"iss":"x"}', 'invalid_request'],
  ['something long', () => 'x'.repeat(40_000), 'invalid_request'],
  ['no typ', () => signed({}, { typ: undefined }), 'invalid_request'],
  ['the typ of an access token', () => signed({}, { typ: 'at+jwt' }), 'invalid_request'],
  ['no jti', () => signed({ jti: undefined }), 'invalid_request'],
  ['an empty jti', () => signed({ jti: '' }), 'invalid_request'],
  ['no iat', () => signed({ iat: undefined }), 'invalid_request'],
  ['iat as text', () => signed({ iat: 'now' }), 'invalid_request'],
  ['iat in the future', () => signed({ iat: seconds() + 3600 }), 'invalid_request'],
  ['iat long ago', () => signed({ iat: seconds() - 100 * 86_400 }), 'invalid_request'],
  ['no events', () => signed({ events: undefined }), 'invalid_request'],
  ['an empty object of events', () => signed({ events: {} }), 'invalid_request'],
  ['a list of events', () => signed({ events: ['x'] }), 'invalid_request'],
  ['an expiry that is over', () => signed({ exp: seconds() - 3600 }), 'invalid_request'],
  ['no iss', () => signed({ iss: undefined }), 'invalid_request'],
  ['another iss', () => signed({ iss: 'https://other.example' }), 'invalid_issuer'],
  ['no aud', () => signed({ aud: undefined }), 'invalid_audience'],
  ['another aud', () => signed({ aud: ['https://other.example'] }), 'invalid_audience'],
  ['an unknown key', () => signed({}, { kid: 'k2' }), 'invalid_key'],
  ['another algorithm', () => signedWith('HS256', new TextEncoder().encode('x'.repeat(64))), 'invalid_key'],
  [
    'a signature of another key',
    () => signedWith('ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey),
    'authentication_failed',
  ],
  ['a changed claim', async () => tampered(await signed({})), 'authentication_failed'],
  ['no signature', async () => unsigned(await signed({})), 'invalid_key'],
]

const seconds = () => Math.floor(world.clock.now.getTime() / 1000)
const signed = (claims: object, header: object = {}) =>
  transmitter.event(`${risc}account-disabled`, sub('bystander'), { claims, header })

async function signedWith(alg: string, key: any): Promise<string> {
  const claims = { iss: transmitter.issuer, aud: audience, jti: randomUUID(), iat: seconds() }
  const events = { [`${risc}account-disabled`]: {} }
  return new SignJWT({ ...claims, sub_id: sub('bystander'), events } as object as Record<string, unknown>)
    .setProtectedHeader({ alg, kid: 'k1', typ: 'secevent+jwt' })
    .sign(key)
}

function tampered(token: string): string {
  const [header, payload = '', signature] = token.split('.')
  const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), jti: randomUUID() }
  return [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
}

function unsigned(token: string): string {
  const header = Buffer.from(JSON.stringify({ alg: 'none', typ: 'secevent+jwt' })).toString('base64url')
  return [header, token.split('.')[1], ''].join('.')
}

t.test('an invalid token is a 400 with the code of RFC 8935, and nothing happens', async (t) => {
  const before = await stream()
  for (const [what, make, err] of invalid) {
    const answer = await push(await make())
    t.match(answer, { status: 400, body: { err, description: /\.$/ } }, `${what}: ${answer.text}`)
    t.match(answer.headers['content-type'], /^application\/json/)
  }
  t.same(await stream(), before)
  t.match(await owner('bystander'), { suspended_by: [] })
})

t.test('requests that are no delivery are rejected', async (t) => {
  const url = `/ssf/events/default/${id}`
  const event = await signed({ sub_id: sub('nobody') })
  const headers = { 'content-type': 'application/secevent+jwt' }
  const post = (to: string, body: unknown, more = headers) =>
    world.ask('POST', to, { token: '', headers: more, body })
  t.match(await post(url, event, { 'content-type': 'application/json' }), {
    status: 415,
    body: { err: String },
  })
  t.match(await post(url, ''), { status: 400, body: { err: 'invalid_request' } })
  t.match(await post(url, 'x'.repeat(70_000)), { status: 413, body: { err: String } })
  for (const other of [`/ssf/events/other/${id}`, `/ssf/events/default/${randomUUID()}`])
    t.match(await post(other, event), { status: 404, body: { err: 'not_found' } })
  t.equal((await post(url, event)).status, 202)
})

t.test('a disabled or deleted stream, and one of a suspended organization, receive nothing', async (t) => {
  const event = () => signed({ sub_id: sub('nobody') })
  await world.ask('PUT', path, { body: { audience, enabled: false } })
  t.equal((await push(await event())).status, 404)
  await world.ask('PUT', path, { body: { audience } })
  t.equal((await push(await event())).status, 202)
  await world.ask('POST', `${base}/suspend`)
  t.equal((await push(await event())).status, 404)
  await world.ask('POST', `${base}/resume`)
})

t.test('while the keys cannot be fetched, events are a 503 and take effect when sent again', async (t) => {
  const down = await startTransmitter(t, () => world.clock.now)
  down.isDown = true
  const { push } = await listen(world, down)
  const token = await world.issue({ owner: { subject: 'outage' } })
  const subject = { format: 'iss_sub', iss: down.issuer, sub: 'outage' }
  const event = await down.event(`${risc}account-disabled`, subject)
  const answer = await push(event)
  t.match(answer, { status: 503, body: { err: 'unavailable' } })
  t.ok(answer.headers['retry-after'])
  t.equal(await isActive(token), true)
})

// Clients that disconnect, at any operation and moment: whatever is counted or waited for is released, and work for
// them ends.
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { RequestListener, ServerResponse } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { sql } from 'kysely'
import t from 'tap'
import { audience, startProvider } from '../issuers/provider.ts'
import { trust } from '../issuers/trust.ts'
import { risc, startTransmitter } from '../signals/transmitter.ts'
import { makeClient, withAssertion } from '../support/client.ts'
import { recordedLines } from '../support/records.ts'
import { createWorld } from '../support/world.ts'

let seen = 0
/** Never seen before, so that a database lookup is needed. */
const unknown = () => `unknown-${randomUUID()}`
const places = 64
const share = places / 4
const provider = await startProvider(t)
const world = await createWorld(t, {
  limits: { introspection: places, management: places, streams: places },
  // Below debug, common introspections bypass Fastify.
  logLevel: 'info',
  feed: { lifetimeMs: 10 * 60_000 },
  githubKeysUrl: `${provider.issuer}/github`,
  // The lease never expires, so that callers are identified while tables are locked.
  hot: { elapsed: () => 0 },
  // Unreachable issuers are tried again every time.
  outbound: { allow: ['127.0.0.1'], elapsed: () => 60_000 * seen },
})
await world.app.listen({ host: '127.0.0.1', port: 0 })
const { port } = world.app.server.address() as AddressInfo
const fail: RequestListener = (_request, response) => response.writeHead(502).end()
provider.replace(fail)
const permissions = [
  ...['tokens:introspect', 'tokens:read', 'tokens:write', 'audit:read'],
  ...['policy:read', 'policy:write', 'leaks:report', 'scim'],
]
const { id: issuerId } = await trust(world, provider, { default_permissions: ['tokens:read'] })
const signals = `/v1/organizations/default/issuers/${issuerId}/signals`
const transmitter = await startTransmitter(t, () => world.clock.now)
await world.ask('PUT', signals, { body: { audience } })
await world.ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })
const callers = [
  { organization: 'default', token: await world.manager(permissions, 'default') },
  { organization: 'default', token: await world.manager(permissions, 'default') },
  { organization: 'other', token: await world.manager(permissions, 'other') },
  { organization: 'other', token: await world.manager(permissions, 'other') },
]
const client = await makeClient(world)
const targets = new Map<string, { webhook: string; user: string }>()
for (const { organization, token } of callers) {
  const webhooks = `/v1/organizations/${organization}/webhooks`
  const webhook = await world.ask('POST', webhooks, { body: { url: 'https://hooks.example/' } })
  const user = await world.ask('POST', '/scim/v2/Users', { token, body: { userName: unknown() } })
  targets.set(organization, {
    webhook: `${webhooks}/${webhook.body.id}`,
    user: `/scim/v2/Users/${user.body.id}`,
  })
}
const { id: organizationId } = (await world.ask('GET', '/v1/organizations/default')).body
// More than fits into the buffers on the way.
await world.sql(
  `insert into audit_events (organization_id, id, occurred_at, actor, action, target_type, target_id, target_name, request_id)
    select $1, gen_random_uuid(), date_trunc('second', now()), '{"type":"system","id":"test","name":"Test"}', 'token.created', 'token', 'x',
      repeat('x', 1000), 'x'
    from generate_series(1, 10000)`,
  [organizationId],
)
const [someone] = callers
if (!someone) throw new Error('there is a caller')
for (const { token } of callers) await world.introspect(token, token)

world.app.server.on('request', () => {
  seen += 1
})
const form = 'application/x-www-form-urlencoded'

type Request = { line: string; headers?: string[]; type?: string; body?: string; token?: string }
type Row = {
  what: string
  make(caller: (typeof callers)[number]): Request | Promise<Request>
  /** Responses that last longer than a test can wait are only left in the middle. */
  endless?: boolean
  /** Waits for an issuer rather than for the database. */
  waitsForIssuer?: boolean
}

const tokensOf = (organization: string) => `/v1/organizations/${organization}/tokens`
const json = 'application/json'
const create = () => JSON.stringify({ name: unknown(), type: 'api' })
const scim = 'application/scim+json'
/** A request with a body, about what the caller's organization has. */
const change = (
  what: string,
  lineOf: (organization: string, target: { webhook: string; user: string }) => string,
  bodyOf: () => object,
  type = json,
): Row => ({
  what,
  make: ({ organization }) => ({
    line: lineOf(organization, targets.get(organization) as { webhook: string; user: string }),
    type,
    body: JSON.stringify(bodyOf()),
  }),
})

const rows: Row[] = [
  {
    what: 'an introspection, the short way',
    make: () => ({ line: 'POST /introspect', type: form, body: `token=${unknown()}` }),
  },
  {
    what: 'an introspection by Fastify',
    make: () => ({ line: 'POST /introspect', type: form, body: `token=${unknown()}&client_ip=192.0.2.1` }),
  },
  {
    what: 'an introspection by a caller whom the database has to find first',
    make: () => ({ line: 'POST /introspect', type: form, body: `token=${unknown()}`, token: unknown() }),
  },
  {
    what: 'a batch of introspections',
    make: () => ({
      line: 'POST /introspect/batch',
      type: json,
      body: JSON.stringify({ tokens: [unknown(), unknown()] }),
    }),
  },
  {
    what: 'an introspection by a client assertion',
    make: async () => ({
      line: 'POST /introspect',
      type: form,
      body: new URLSearchParams({ token: unknown(), ...withAssertion(await client.sign()) }).toString(),
      token: '',
    }),
  },
  {
    what: 'a revocation by secret',
    make: () => ({ line: 'POST /revoke', type: form, body: `token=${unknown()}` }),
  },
  {
    what: 'a question of a gateway',
    make: ({ token }) => ({
      line: 'GET /verify',
      headers: [`X-Counterfoil-Gateway: ${token}`],
      token: unknown(),
    }),
  },
  { what: 'a list', make: ({ organization }) => ({ line: `GET ${tokensOf(organization)}` }) },
  {
    what: 'a create, which goes with others in one statement',
    make: ({ organization }) => ({ line: `POST ${tokensOf(organization)}`, type: json, body: create() }),
  },
  {
    what: 'a create with an Idempotency-Key, which holds its transaction open',
    make: ({ organization }) => ({
      line: `POST ${tokensOf(organization)}`,
      headers: [`Idempotency-Key: "${unknown().padEnd(22, 'x')}"`],
      type: json,
      body: create(),
    }),
  },
  {
    what: 'a user of a slow issuer',
    make: async () => {
      const exp = Math.floor(world.clock.now.getTime() / 1000) + 600
      const token = await provider.sign({ iss: provider.issuer, aud: audience, sub: unknown(), exp })
      return { line: `GET ${tokensOf('default')}`, token }
    },
    waitsForIssuer: true,
  },
  {
    what: 'an export',
    make: () => ({
      line: 'GET /v1/organizations/default/audit-events/export',
      token: someone.token,
    }),
    endless: true,
  },
  change(
    'a registration of a webhook',
    (organization) => `POST /v1/organizations/${organization}/webhooks`,
    () => ({ url: `https://${unknown()}.example/` }),
  ),
  change(
    'a replay of deliveries',
    (_organization, { webhook }) => `POST ${webhook}/replay`,
    () => ({ since: '2026-01-01T00:00:00Z' }),
  ),
  {
    what: 'a list of deliveries',
    make: ({ organization }) => ({ line: `GET ${targets.get(organization)?.webhook}/deliveries` }),
  },
  change(
    'a policy with recipients of mail',
    (organization) => `PATCH /v1/organizations/${organization}/policy`,
    () => ({ notifications: { mail_to: [`${unknown()}@example.com`] } }),
  ),
  change(
    'a report of a leak',
    () => 'POST /v1/leaks',
    () => ({ secret: unknown(), source: 'a test' }),
  ),
  {
    what: 'an alert of GitHub, whose keys have to be fetched',
    make: () => ({
      line: 'POST /leaks/github',
      headers: [`Github-Public-Key-Identifier: ${unknown()}`, 'Github-Public-Key-Signature: MEQCIA=='],
      type: json,
      body: JSON.stringify([{ token: unknown(), type: 'api' }]),
    }),
    waitsForIssuer: true,
  },
  change(
    'a user of a directory',
    () => 'POST /scim/v2/Users',
    () => ({ userName: unknown() }),
    scim,
  ),
  change(
    'a user who is deactivated in a directory',
    (_organization, { user }) => `PATCH ${user}`,
    () => ({ Operations: [{ op: 'replace', value: { active: false } }] }),
    scim,
  ),
  change(
    'a stream of security events',
    () => `PUT ${signals}`,
    () => ({ audience }),
  ),
  {
    what: 'a security event of a slow issuer',
    make: async () => ({
      line: `POST /ssf/events/default/${issuerId}`,
      type: 'application/secevent+jwt',
      body: await transmitter.event(
        `${risc}account-disabled`,
        { format: 'opaque', id: unknown() },
        { claims: { iss: provider.issuer, aud: audience } },
      ),
    }),
    waitsForIssuer: true,
  },
  { what: 'a stream', make: () => ({ line: 'GET /v1/revocations/stream' }), endless: true },
]

const moments = ['in the head', 'in the body', 'before the answer', 'in the answer', 'after it'] as const
const manners = ['FIN', 'RST', 'half-close'] as const
type Manner = (typeof manners)[number]

function textOf({ line, headers = [], type, body = '', token = '' }: Request) {
  const lines = [`${line} HTTP/1.1`, 'Host: counterfoil.test', ...headers]
  if (token) lines.push(`Authorization: Bearer ${token}`)
  if (type) lines.push(`Content-Type: ${type}`, `Content-Length: ${body.length}`)
  return { head: `${lines.join('\r\n')}\r\n\r\n`, body }
}

/** The part of a request that has been sent at that moment. */
function until(moment: (typeof moments)[number], { head, body }: { head: string; body: string }): string {
  if (moment === 'in the head') return head.slice(0, -10)
  return moment === 'in the body' ? head + body.slice(0, 1) : head + body
}

function leave(socket: Socket, manner: Manner): void {
  if (manner === 'RST') return void socket.resetAndDestroy()
  socket.end()
  if (manner === 'FIN') return void socket.once('finish', () => socket.destroy())
  // Reads what still comes, until the other side closes too.
  socket.once('end', () => socket.destroy()).resume()
}

function isAnswered(text: string, times: number): boolean {
  const answers = text.split('HTTP/1.1 ').slice(1)
  const [head = '', body = ''] = answers.at(-1)?.split('\r\n\r\n') ?? []
  const length = /^content-length: (\d+)/im.exec(head)?.[1]
  // Of several requests on a connection, an answer that closes it is the last.
  const isLast = answers.length === times || /^connection: close/im.test(head)
  return isLast && Number(length) === Buffer.byteLength(body)
}

/** While `during` runs, these requests cannot get what they need from the database. */
async function whileLocked(during: () => Promise<void>): Promise<void> {
  await world.db.transaction().execute(async (tx) => {
    // In the order of the requests, some of which may not be over: another order could be a deadlock.
    await sql`lock table deliveries, signal_streams, token_secrets, tokens, audit_events, revocations, client_keys
      in access exclusive mode`.execute(tx)
    await during()
  })
}

async function waiting(): Promise<number> {
  const { rows } = await world.sql(
    `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  )
  return rows.length
}

async function whileIssuerWaits(during: (isAsked: () => boolean) => Promise<void>): Promise<void> {
  const held: ServerResponse[] = []
  provider.replace((_request, response) => {
    held.push(response)
  })
  await during(() => held.length > 0)
  provider.replace(fail)
  for (const response of held) response.writeHead(502).end()
}

/**
 * Clients that send the request up to that moment, alone on their connection or behind another request, and disconnect.
 */
async function leaveAll({ make, waitsForIssuer }: Row, moment: (typeof moments)[number]): Promise<void> {
  const closed: Promise<unknown>[] = []
  const noteClosing = (socket: Socket) =>
    void closed.push(new Promise((resolve) => socket.once('close', resolve)))
  world.app.server.on('connection', noteClosing)
  const before = seen
  const measuredBefore = await measured()
  let expected = 0
  const clients = await Promise.all(
    [...manners, ...manners].map(async (manner, index) => {
      const caller = callers[index % callers.length] as (typeof callers)[number]
      const times = index < manners.length ? 1 : 2
      const [first, last] = await Promise.all(
        [1, 2].map(async () => textOf({ token: caller.token, ...(await make(caller)) })),
      )
      if (!first || !last) throw new Error('nothing to send')
      expected += times - (moment === 'in the head' ? 1 : 0)
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
      socket.on('error', () => {})
      const bytes = (times === 2 ? first.head + first.body : '') + until(moment, last)
      return { manner, times, socket, bytes }
    }),
  )
  const act = async (isAsked?: () => boolean) => {
    const ready = clients.map(async ({ socket, times, bytes }) => {
      if (moment !== 'in the answer' && moment !== 'after it') return void socket.write(bytes)
      let text = ''
      const answered = Promise.withResolvers<void>()
      socket.on('data', (data) => {
        text += data
        if (moment === 'in the answer' || isAnswered(text, times)) answered.resolve()
        if (moment === 'in the answer') socket.pause()
      })
      socket.write(bytes)
      await answered.promise
    })
    await Promise.all(ready)
    while (seen - before < expected || closed.length < clients.length) await turn()
    if (moment === 'before the answer') {
      if (!isAsked) while ((await waiting()) === 0);
      // A fetch that earlier requests started may have failed for these as well.
      else while (!isAsked() && (await measured()) < measuredBefore + expected) await turn()
    }
    for (const { socket, manner } of clients) leave(socket, manner)
    await Promise.all(closed)
  }
  if (moment !== 'before the answer') await act()
  else if (waitsForIssuer) await whileIssuerWaits(act)
  else await whileLocked(act)
  world.app.server.off('connection', noteClosing)
}

async function measured(): Promise<number> {
  const { payload } = await world.app.inject('/metrics')
  const counts = payload.matchAll(/^http_request_duration_seconds_count\{(.*)\} (\d+)$/gm)
  return [...counts].reduce(
    (sum, [, labels, count]) => (labels?.includes('/metrics') ? sum : sum + Number(count)),
    0,
  )
}

for (const row of rows) {
  t.test(`${row.what} whose client disconnects`, async (t) => {
    for (const moment of moments) {
      if (moment === 'after it' && row.endless) continue
      if (moment === 'in the body' && !(await row.make(someone)).body) continue
      const [seenBefore, measuredBefore] = [seen, await measured()]
      await leaveAll(row, moment)
      while ((await measured()) < measuredBefore + seen - seenBefore) await turn()
      t.equal(await measured(), measuredBefore + seen - seenBefore, `${moment}: each request has its outcome`)
    }
  })
}

type Sent = { status: number; text: string }

/** The response to a request, up to the end of its head. */
async function send(caller: (typeof callers)[number], row: Row): Promise<Sent & { socket: Socket }> {
  const { head, body } = textOf({ token: caller.token, ...(await row.make(caller)) })
  const socket = connect({ port, host: '127.0.0.1' })
  t.teardown(() => socket.destroy())
  socket.write(head + body)
  let text = ''
  for await (const [data] of on(socket)) {
    text += data
    if (text.includes('\r\n\r\n')) break
  }
  return { status: Number(text.slice(9, 12)), text, socket }
}

async function* on(socket: Socket): AsyncIterable<[Buffer]> {
  while (true) yield (await once(socket, 'data')) as [Buffer]
}

const rowOf = (what: string) => rows.find((row) => row.what === what) as Row

for (const what of [
  'an introspection, the short way',
  'an introspection by Fastify',
  'a question of a gateway',
  'a list',
]) {
  t.test(`afterwards exactly all slots are free again for ${what}`, async (t) => {
    const stranger = { organization: 'platform', token: world.admin }
    const before = seen
    const answers: Promise<Sent>[] = []
    await whileLocked(async () => {
      for (const caller of callers) for (let i = 0; i < share; i++) answers.push(send(caller, rowOf(what)))
      while (seen - before < places) await turn()
      while ((await waiting()) === 0);
      const refused = await send(stranger, rowOf(what))
      t.equal(refused.status, 503)
      t.match(refused.text, /retry-after: 1/i)
    })
    const statuses = (await Promise.all(answers)).map(({ status }) => status)
    t.equal(statuses.filter((status) => status === 503).length, 0)
  })
}

t.test(
  'afterwards all stream slots are free again, and one tenant’s streams leave room for another’s',
  async (t) => {
    const open: Socket[] = []
    for (const caller of callers) {
      for (let i = 0; i < share; i++) {
        const { status, socket } = await send(caller, rowOf('a stream'))
        t.equal(status, 200)
        open.push(socket)
      }
      t.equal((await send(caller, rowOf('a stream'))).status, 503, 'a caller has its share')
      if (open.length < 2 * share) continue
      const third = { organization: 'default', token: client.secret }
      t.equal((await send(third, rowOf('a stream'))).status, 503, 'and so has an organization')
    }
    for (const socket of open) socket.destroy()
  },
)

t.test('afterwards nothing is left over in the database, and everything works', async (t) => {
  const held = () =>
    world.sql(
      `select from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'`,
    )
  while ((await held()).rows.length > 0);
  while ((await waiting()) > 0);
  t.match(await client.introspect(client.secret, withAssertion(await client.sign())), {
    body: { active: true },
  })
  t.match(await world.introspect((await world.issue()).secret), { active: true })
})

t.test('a request whose client disconnected is logged', async (t) => {
  const lines = recordedLines('"status":499', '"aborted":true')
  for (const route of ['/v1/organizations/:organization/tokens', '/v1/revocations/stream', '/revoke'])
    t.ok(
      lines.some((line) => line.includes(`"route":"${route}"`)),
      route,
    )
})

t.test('a client that does not read its response is disconnected', async (t) => {
  const idle = Number(world.app.server.timeout)
  t.ok(idle > 0 && idle <= 60_000)
  world.app.server.timeout = 100
  const socket = connect({ port, host: '127.0.0.1' })
  const closed = new Promise((resolve) =>
    world.app.server.once('connection', (accepted) => accepted.once('close', resolve)),
  )
  const { head } = textOf(await rowOf('an export').make(someone))
  socket.write(head)
  await closed
  socket.destroy()
  world.app.server.timeout = idle
})

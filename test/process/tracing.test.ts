// One service with the SDK of the documentation, which sends its spans here when it ends.
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import type { IncomingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import t from 'tap'
import { generateSecret } from '../../src/shared/secret.ts'
import { blocks, root } from '../docs/markdown.ts'
import { startSmtp } from '../mail/smtp.ts'
import { json, serve } from '../outbound/server.ts'
import { withAssertion } from '../support/client.ts'
import { cloneDatabase } from '../support/database.ts'
import { freePort, run, said } from '../support/process.ts'
import { recordSecret } from '../support/records.ts'
import { until } from '../support/until.ts'
import { startReceiver } from '../webhooks/receiver.ts'

type Attribute = { key: string; value: { stringValue?: string; intValue?: number } }
type Exported = {
  name: string
  startTimeUnixNano: string
  kind: number
  traceId: string
  spanId: string
  parentSpanId?: string
  attributes: Attribute[]
  links?: { spanId: string }[]
}

const kinds = ['', 'internal', 'server', 'client', 'producer']
const traceOf = (n: number) => n.toString(16).padStart(32, '0')
const spans: Exported[] = []
let sent = ''
const collector = await serve(t, async (request, response) => {
  const body = await text(request)
  sent += body
  for (const { scopeSpans } of JSON.parse(body).resourceSpans ?? [])
    for (const scope of scopeSpans) spans.push(...scope.spans)
  response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
})

const folder = await mkdtemp(join(tmpdir(), 'counterfoil-tracing-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
await writeFile(join(folder, 'tracing.mjs'), blocks('docs/operating.md', 'js')[0] ?? '')
const command = blocks('docs/operating.md', 'sh').find((block) => block.includes('NODE_OPTIONS')) ?? ''
const script = command
  .replace('http://127.0.0.1:4318', collector.url)
  .replace('_ARG=0.01', '_ARG=1')
  .replace('npx counterfoil', 'exec "$@"')

const smtp = await startSmtp(t)
const admin = generateSecret('cfm').reveal()
recordSecret(admin)
const PORT = String(await freePort())
const url = `http://127.0.0.1:${PORT}`
const env = {
  DATABASE_URL: await cloneDatabase(),
  ADMIN_TOKEN: admin,
  PORT,
  PUBLIC_URL: url,
  BOOTSTRAP_EXAMPLES: 'true',
  SMTP_URL: smtp.url,
  MAIL_FROM: 'counterfoil@example.com',
  MASTER_KEY: randomBytes(32).toString('base64'),
  OUTBOUND_ALLOW: '127.0.0.1',
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
}
const service = run(t, [], env, ['sh', '-c', `cd ${folder}; ${script}`, 'sh'])
await Promise.all([said(service, 'Server listening'), said(service, 'cache lease acquired')])

type Answer = { secret: string; id: string; active: boolean }
type Ask = { method?: string; body?: object; form?: Record<string, string> }

/** Sends a request as a part of the trace with this number. */
async function ask(n: number, path: string, { method = 'POST', body, form }: Ask) {
  const headers = {
    ...(!form?.client_assertion && { authorization: `Bearer ${admin}` }),
    traceparent: `00-${traceOf(n)}-${'1'.repeat(16)}-01`,
    baggage: 'customer=ada',
    ...(body && { 'content-type': 'application/json' }),
  }
  const sending = body ? JSON.stringify(body) : new URLSearchParams(form)
  const response = await fetch(`${url}${path}`, { method, headers, body: sending })
  if (!response.ok) throw new Error(await response.text())
  return { id: response.headers.get('x-request-id'), answer: (await response.json()) as Answer }
}

const tokens = '/v1/organizations/default/tokens'
const receiver = await startReceiver(t)
await ask(1, '/v1/organizations/default/webhooks', { body: { url: receiver.url, events: ['token.created'] } })
const created = await ask(2, tokens, { body: { name: 'Traced', type: 'api', scopes: ['read'] } })
const { secret } = created.answer
recordSecret(secret)
await until(() => receiver.messages.length > 0)
const { secret: doomed } = (
  await ask(12, tokens, { body: { name: 'Leaks soon', type: 'api', scopes: ['read'] } })
).answer
recordSecret(doomed)
const looked = await ask(3, '/introspect', { form: { token: secret } })
// The first ones may be answered before the cache may remember.
const cacheHits = async () => {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  return Number(/^counterfoil_cache_hits_total\{outcome="good"\} (\d+)/m.exec(metrics)?.[1])
}
let n = 100
const cached = await until(async () => {
  n += 1
  const before = await cacheHits()
  const { id } = await ask(n, '/introspect', { form: { token: secret } })
  // The caller and the token.
  return (await cacheHits()) === before + 2 ? { id, trace: traceOf(n) } : undefined
})

const policy = { notifications: { mail_to: ['ada@example.com'] } }
await ask(10, '/v1/organizations/default/policy', { method: 'PATCH', body: policy })
await ask(11, '/v1/leaks', { body: { secret: doomed, source: 'logs' } })
await until(() => smtp.mails.length > 0)

const server = { name: 'Server', type: 'management', scopes: ['tokens:introspect'] }
const { id, secret: serverSecret } = (await ask(5, tokens, { body: server })).answer
recordSecret(serverSecret)
const pair = await generateKeyPair('ES256')
const jwksHeaders: IncomingHttpHeaders[] = []
const keys = { keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'one' }] }
const jwks = await serve(t, (request, response) => {
  jwksHeaders.push(request.headers)
  json(keys)(request, response)
})
await ask(6, `${tokens}/${id}/client-keys`, {
  method: 'PUT',
  body: { jwks_uri: `${jwks.url}/keys?key=in-the-url` },
})
const claims = { iss: id, sub: id, aud: url, jti: 'one', exp: Math.ceil(Date.now() / 1000) + 60 }
const assertion = await new SignJWT(claims)
  .setProtectedHeader({ alg: 'ES256', kid: 'one' })
  .sign(pair.privateKey)
recordSecret(assertion)
const asserted = await ask(7, '/introspect', { form: { token: secret, ...withAssertion(assertion) } })

// In one packet, so that both are decided in one turn.
const socket = connect(Number(PORT), '127.0.0.1')
const pipelined = [8, 9].map((n) => {
  const body = `token=unknown-${n}`
  const headers = `authorization: Bearer ${admin}\r\ntraceparent: 00-${traceOf(n)}-${'1'.repeat(16)}-01`
  const form = `content-type: application/x-www-form-urlencoded\r\ncontent-length: ${body.length}`
  return `POST /introspect HTTP/1.1\r\nhost: x\r\n${headers}\r\n${form}\r\n\r\n${body}`
})
socket.setEncoding('utf8').write(pipelined.join(''))
let answers = ''
for await (const chunk of socket) {
  answers += chunk
  if (answers.split('{"active":false}').length === 3) break
}

service.child.kill('SIGTERM')
t.equal((await service.exit).code, 0)

function attributesOf({ attributes }: Exported): Record<string, unknown> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value]),
  )
}

/**
 * The spans of a trace as lines, each indented below its parent, in the order in which they began; without the statement
 * that a new connection begins with.
 */
function treeOf(trace: string): string[] {
  const own = spans.filter(({ traceId, name }) => traceId === trace && name !== 'SELECT')
  const known = new Set(own.map(({ spanId }) => spanId))
  const below = (parent: string | undefined, indent: string): string[] =>
    own
      .filter(({ parentSpanId = '' }) => (parent ? parentSpanId === parent : !known.has(parentSpanId)))
      .toSorted((one, other) => one.startTimeUnixNano.localeCompare(other.startTimeUnixNano))
      .flatMap(({ name, kind, spanId }) => [
        `${indent}${kinds[kind]} ${name}`,
        ...below(spanId, `${indent}  `),
      ])
  return below(undefined, '')
}

function spanOf(trace: string, name: string): Exported {
  const found = spans.find((span) => span.traceId === trace && span.name === name)
  if (!found) throw new Error(`no span ${name} in ${treeOf(trace).join('\n')}`)
  return found
}

t.test('a create has the spans of its group commit and statement', async (t) => {
  // The caller's credential may be in the cache or not.
  const tree = treeOf(traceOf(2)).filter((line) => !/lookup|credentials/.test(line))
  t.same(tree, [
    'server POST /v1/organizations/:organization/tokens',
    '  internal coalesced statement',
    '    internal coalesced batch',
    '      client rules-by-key',
    '  internal coalesced statement',
    '    internal coalesced batch',
    '      client tokens-insert',
  ])
  const request = spanOf(traceOf(2), `POST ${tokens.replace('default', ':organization')}`)
  t.equal(request.parentSpanId, '1'.repeat(16), 'within the trace of its caller')
  t.match(attributesOf(request), {
    'http.request.method': 'POST',
    'http.route': tokens.replace('default', ':organization'),
    'http.response.status_code': 201,
  })
})

t.test('an introspection from the cache is a single span, with the id of the response', async (t) => {
  t.same(treeOf(cached.trace), ['server POST /introspect'])
  t.match(attributesOf(spanOf(cached.trace, 'POST /introspect')), {
    'http.route': '/introspect',
    'http.response.status_code': 200,
    'http.response.header.x-request-id': { arrayValue: { values: [{ stringValue: cached.id }] } },
  })
})

t.test('a lookup shows what the request waits for', async (t) => {
  t.same(looked.answer.active, true)
  t.same(treeOf(traceOf(3)), [
    'server POST /introspect',
    '  internal lookup',
    '    internal lookup batch',
    '      client credentials',
  ])
})

t.test('a lookup for two requests is in the trace of one and linked to the other', async (t) => {
  t.same(treeOf(traceOf(9)), ['server POST /introspect', '  internal lookup'])
  const batch = spanOf(traceOf(8), 'lookup batch')
  t.same(
    batch.links?.map(({ spanId }) => spanId),
    [spanOf(traceOf(9), 'lookup').spanId],
  )
  t.ok(Number(attributesOf(batch)['counterfoil.batch.size']) >= 2)
})

t.test('a delivery continues its trace at the receiver', async (t) => {
  const [, trace = '', parent] = String(receiver.messages[0]?.headers.traceparent).split('-')
  t.same(treeOf(trace), ['producer deliver webhook', '  client POST', '  client UPDATE deliveries'])
  t.equal(parent, spanOf(trace, 'POST').spanId)
})

t.test('a mail is a trace of its own, without addresses', async (t) => {
  const [mail] = spans.filter(({ name }) => name === 'send mail')
  t.same(treeOf(mail?.traceId ?? ''), ['client send mail'])
  t.notMatch(sent, 'ada@example.com')
})

t.test('fetching keys is a part of the request that needs them', async (t) => {
  t.equal(asserted.answer.active, true)
  t.equal(jwksHeaders.length, 1)
  const [, trace, parent] = String(jwksHeaders[0]?.traceparent).split('-')
  t.equal(trace, traceOf(7))
  const call = spanOf(traceOf(7), 'GET')
  t.equal(parent, call.spanId)
  t.match(attributesOf(call), {
    'server.address': '127.0.0.1',
    'server.port': Number(new URL(jwks.url).port),
  })
  t.equal(jwksHeaders[0]?.baggage, undefined, 'what the caller passed on to the service is not for others')
})

t.test('log lines have the trace', async (t) => {
  const lines = service
    .output()
    .split('\n')
    .filter((line) => line.includes(created.id ?? '-'))
  t.match(JSON.parse(lines[0] ?? '{}'), { trace_id: traceOf(2), reqId: created.id })
})

t.test('no span has a secret or a URL', async (t) => {
  for (const text of [admin, secret, serverSecret, assertion, 'in-the-url']) t.notMatch(sent, text)
})

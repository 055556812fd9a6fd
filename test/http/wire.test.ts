import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { logLineOf } from '../support/records.ts'
import { createWorld } from '../support/world.ts'
import { recordChanges } from './changes.ts'

// Streams of the feed stay open.
const world = await createWorld(t, { feed: { lifetimeMs: 10 * 60_000 } })
await world.app.listen({ host: '127.0.0.1', port: 0 })
const { port } = world.app.server.address() as AddressInfo
const path = '/v1/organizations/default/tokens'
const credentials = `Host: localhost\r\nAuthorization: Bearer ${world.admin}\r\n`
const json = JSON.stringify({ name: 'By hand', type: 'api' })

async function open(): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket
}

/** Sends these bytes and returns everything that comes back until the server closes the connection. */
async function exchange(bytes: string): Promise<string> {
  const socket = await open()
  socket.write(bytes, 'latin1')
  return text(socket)
}

function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1])
}

function problemOf(answer: string): any {
  return JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))
}

/** The names of the header fields, and the problem, whose request id is in the header fields too. */
function parts(answer: string) {
  const lines = answer.slice(0, answer.indexOf('\r\n\r\n')).split('\r\n').slice(1)
  const fields = lines.map((line) => line.split(': ') as [string, string])
  const headers = Object.fromEntries(fields.map(([name, value]) => [name.toLowerCase(), value]))
  const problem = problemOf(answer)
  t.equal(headers['x-request-id'], problem.request_id)
  return {
    headers: Object.keys(headers)
      .filter((name) => name !== 'date')
      .sort(),
    problem,
  }
}

/** Fastify's response to a request that it can parse. */
async function common() {
  return parts(await exchange('GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'))
}

const malformed = {
  'no HTTP at all': 'hello\r\n\r\n',
  binary: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
  'an unknown method': 'BREW /v1/self HTTP/1.1\r\nHost: x\r\n\r\n',
  'an unknown version': 'GET /livez HTTP/9.9\r\nHost: x\r\n\r\n',
  'a header without a colon': 'GET /livez HTTP/1.1\r\nHost x\r\n\r\n',
  'a header with a NUL': 'GET /livez HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\0b\r\n\r\n',
  'an invalid length': 'POST /introspect HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n',
  'two lengths': 'POST /introspect HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
  'a length and chunks (RFC 9112 §6.1)':
    'POST /introspect HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
}

for (const [what, bytes] of Object.entries(malformed)) {
  t.test(`malformed HTTP is a 400 problem and the end of the connection: ${what}`, async (t) => {
    const answer = await exchange(bytes)
    t.equal(statusOf(answer), 400, answer)
    t.match(answer, /\r\nconnection: close\r\n/i)
    const { headers, problem } = parts(answer)
    t.match(problem, { type: '/problems/invalid_request', status: 400 })
    t.same(headers, (await common()).headers)
    t.match(problem.request_id, /^[0-9a-f-]{36}$/)
    t.match(await logLineOf(problem.request_id), { status: 400, reason: /^HPE_/, ip: '127.0.0.1' })
  })
}

const form = 'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n'

/** What Node would refuse before Fastify sees it; the reason is in the log. */
const unserved: Record<string, { bytes: string; status: number; code: string; reason: string }> = {
  'no Host (RFC 9112 §3.2)': {
    bytes: 'GET /livez HTTP/1.1\r\n\r\n',
    status: 400,
    code: 'invalid_request',
    reason: 'missing_host',
  },
  'no Host, with a body for the fast path': {
    bytes: `POST /introspect HTTP/1.1\r\nAuthorization: Bearer ${world.admin}\r\n${form}\r\ntoken=abc`,
    status: 400,
    code: 'invalid_request',
    reason: 'missing_host',
  },
  'an unknown expectation (RFC 9110 §10.1.1)': {
    bytes: 'GET /livez HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\n\r\n',
    status: 417,
    code: 'expectation_failed',
    reason: 'unknown_expectation',
  },
  'an unknown expectation, with a body': {
    bytes: `POST /introspect HTTP/1.1\r\nHost: x\r\nExpect: a-miracle\r\n${form}\r\ntoken=abc`,
    status: 417,
    code: 'expectation_failed',
    reason: 'unknown_expectation',
  },
  CONNECT: {
    bytes: 'CONNECT internal.example:443 HTTP/1.1\r\nHost: internal.example:443\r\n\r\n',
    status: 400,
    code: 'invalid_request',
    reason: 'CONNECT',
  },
  'HTTP/2 without an agreement on it': {
    bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    status: 400,
    code: 'invalid_request',
    reason: 'HPE_',
  },
}

for (const [what, { bytes, status, code, reason }] of Object.entries(unserved)) {
  t.test(`a request that cannot be served is a ${status} problem: ${what}`, async (t) => {
    const { headers, problem } = parts(await exchange(bytes))
    t.match(problem, { status, code })
    t.same(headers, (await common()).headers)
    t.match(await logLineOf(problem.request_id), {
      status,
      reason: new RegExp(`^${reason}`),
      ip: '127.0.0.1',
    })
  })
}

const served = {
  'no Host in HTTP/1.0': 'GET /livez HTTP/1.0\r\n\r\n',
  'an upgrade that is not on offer':
    'GET /livez HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade, close\r\n\r\n',
}

for (const [what, bytes] of Object.entries(served))
  t.test(`a request is served in spite of ${what}`, async (t) =>
    t.equal(statusOf(await exchange(bytes)), 200),
  )

t.test('100-continue is answered before the body', async (t) => {
  const socket = await open()
  const head = `POST /introspect HTTP/1.1\r\n${credentials}${form}Expect: 100-continue\r\nConnection: close\r\n\r\n`
  socket.write(head)
  t.match(String(await once(socket, 'data')), /^HTTP\/1\.1 100 Continue\r\n/)
  socket.write('token=abc')
  t.match(await text(socket), /^HTTP\/1\.1 200 .*"active":false/s)
})

t.test(
  'an unparsable request gets no response that could be taken for that of the previous request',
  async (t) => {
    const answer = await exchange(`GET ${path} HTTP/1.1\r\n${credentials}\r\nhello\r\n\r\n`)
    t.same(answer.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200'])
    t.match(answer, /\r\nconnection: close\r\n/i)
  },
)

t.test('an unparsable request is not answered in the middle of a response', async (t) => {
  const socket = await open()
  const stream = 'GET /v1/revocations/stream HTTP/1.1\r\nAccept: text/event-stream\r\n'
  socket.write(`${stream}${credentials}\r\n`)
  const [begin] = await once(socket, 'data')
  t.match(String(begin), /^HTTP\/1\.1 200 .*text\/event-stream/s)
  socket.write('hello\r\n\r\n')
  const rest = await text(socket).catch((error) => error.code)
  t.notMatch(rest, /HTTP\/1\.1/)
})

t.test('RFC 6585 §5: header fields that are too large are 431', async (t) => {
  const answer = await exchange(
    `GET ${path} HTTP/1.1\r\n${credentials}X-Large: ${'x'.repeat(20_000)}\r\n\r\n`,
  )
  t.equal(statusOf(answer), 431)
  t.match(problemOf(answer), { type: '/problems/header_fields_too_large', status: 431 })
})

t.test('a URL that is too long is a 431 with the usual header fields', async (t) => {
  const { headers, problem } = parts(await exchange(`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`))
  t.match(problem, { code: 'header_fields_too_large', status: 431 })
  t.same(headers, (await common()).headers)
  t.match(await logLineOf(problem.request_id), { status: 431, reason: 'HPE_HEADER_OVERFLOW' })
})

t.test('RFC 9110 §15.5.14: a body that is too large is 413, whether it says its size or not', async (t) => {
  const head = `POST /v1/organizations HTTP/1.1\r\n${credentials}Connection: close\r\nContent-Type: application/json\r\n`
  const large = `{"name":"${'x'.repeat(70_000)}"}`
  const chunk = `${large.length.toString(16)}\r\n${large}\r\n0\r\n\r\n`
  for (const rest of [
    `Content-Length: ${large.length}\r\n\r\n${large}`,
    `Transfer-Encoding: chunked\r\n\r\n${chunk}`,
  ]) {
    const answer = await exchange(head + rest)
    t.equal(statusOf(answer), 413)
    t.match(problemOf(answer), { code: 'content_too_large' })
  }
})

t.test('a body without a media type is 415', async (t) => {
  const head = `POST ${path} HTTP/1.1\r\n${credentials}Connection: close\r\nContent-Length: ${json.length}\r\n\r\n`
  t.equal(statusOf(await exchange(head + json)), 415)
})

t.test('a body may arrive byte by byte', async (t) => {
  const socket = await open()
  socket.setNoDelay(true)
  const send = (bytes: string) => new Promise((sent) => socket.write(bytes, sent))
  await send(`POST ${path} HTTP/1.1\r\n${credentials}Connection: close\r\n`)
  await send(`Content-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n`)
  for (const byte of json) await send(byte)
  const answer = await text(socket)
  t.equal(statusOf(answer), 201)
  const { id } = problemOf(answer)
  await world.ask('DELETE', `${path}/${id}`)
})

t.test('an aborted request writes nothing and affects no other request', async (t) => {
  const changes = await recordChanges(world)
  const request = `POST ${path} HTTP/1.1\r\n${credentials}Content-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`
  for (const length of [10, request.indexOf('\r\n\r\n'), request.length - json.length, request.length - 1]) {
    const aborted = new Promise((resolve) =>
      world.app.server.once('connection', (socket) => socket.once('close', resolve)),
    )
    const socket = await open()
    await new Promise((sent) => socket.write(request.slice(0, length), sent))
    socket.resetAndDestroy()
    await aborted
  }
  t.same(await changes(), {})
  t.equal((await fetch(`http://127.0.0.1:${port}/readyz`)).status, 200)
})

t.test('pipelined requests are answered in order', async (t) => {
  const ask = (url: string, more = '') => `GET ${url} HTTP/1.1\r\nHost: x\r\n${more}\r\n`
  const answer = await exchange(ask('/livez') + ask('/v1/self') + ask('/livez', 'Connection: close\r\n'))
  t.same(answer.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 401', 'HTTP/1.1 200'])
})

t.test('a request must arrive within a time limit', async (t) => {
  const { requestTimeout, headersTimeout } = world.app.server
  for (const limit of [requestTimeout, headersTimeout]) t.ok(limit > 0 && limit <= 60_000, `${limit} ms`)
})

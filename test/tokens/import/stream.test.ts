// The request and the response of an import are streams: what is malformed in them, and how they end early.
import { once } from 'node:events'
import { request } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import pg from 'pg'
import t, { type Test } from 'tap'
import { Secret } from '../../../src/shared/secret.ts'
import { importInto, ndjson, readResults, sha256 } from '../../support/import.ts'
import { until } from '../../support/until.ts'
import { createWorld } from '../../support/world.ts'

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')
const drained = new AbortController()
const world = await createWorld(t, { draining: drained.signal })
await world.app.listen({ host: '127.0.0.1', port: 0 })
const { port } = world.app.server.address() as AddressInfo
const path = '/v1/organizations/default/tokens/import'
const sockets: Socket[] = []
world.app.server.on('connection', (socket) => sockets.push(socket))

let made = 0
const secretOf = (n: number) => `imported-secret-number-${n}`
const line = (more: object = {}) => {
  made += 1
  return { sha256: sha256(secretOf(made)), type: 'api', name: `Imported ${made}`, ...more }
}
const lines = (count: number) => Array.from({ length: count }, () => line())

/** An import whose lines the test writes and reads one after the other. */
function open(t: Test, token = world.admin) {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/x-ndjson' }
  const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers })
  t.teardown(() => sent.destroy())
  sent.on('error', () => {})
  const response = once(sent, 'response').then(([response]) => response)
  const reading = response.then((response) => createInterface(response)[Symbol.asyncIterator]())
  return {
    sent,
    response,
    send: (some: object[]) => sent.write(ndjson(some)),
    async read(count: number) {
      const iterator = await reading
      const found: any[] = []
      while (found.length < count) {
        const { done, value } = await iterator.next()
        if (done) break
        found.push(JSON.parse(value))
      }
      return found
    },
  }
}

t.test('a line that is malformed is rejected by name, and the others are imported', async (t) => {
  const good = JSON.stringify(line())
  const hash = sha256('some other secret')
  const wrong: [string | Buffer, string, RegExp][] = [
    ['x', '', /not valid JSON/],
    ['{"sha256":', '', /not valid JSON/],
    ['[]', '', /must be object/],
    ['null', '', /must be object/],
    ['"text"', '', /must be object/],
    ['{}', 'sha256', /is required/],
    [`{"sha256":"${hash}"}`, 'type', /is required/],
    ['{"__proto__":{},"type":"api"}', '', /not valid JSON/],
    [`{"a":${'['.repeat(40)}${']'.repeat(40)}}`, 'a', /nested more than/],
    [Buffer.from([0x7b, 0xff, 0x7d]), '', /not valid UTF-8/],
    [JSON.stringify(line({ secret: 'plain' })), 'secret', /is not known here/],
    [JSON.stringify(line({ sha256: hash.slice(1) })), 'sha256', /32 bytes in hex/],
    [JSON.stringify(line({ sha256: 7 })), 'sha256', /must be string/],
    [JSON.stringify(line({ type: 'nonsense' })), 'type', /not a token type/],
    [
      JSON.stringify(line({ type: 'management', scopes: ['tokens:read'] })),
      'type',
      /create tokens of this type here/,
    ],
    [JSON.stringify(line({ scopes: ['two words'] })), 'scopes.0', /printable ASCII/],
    [JSON.stringify(line({ created_at: 'yesterday' })), 'created_at', /RFC 3339/],
    [JSON.stringify(line({ created_at: '2999-01-01T00:00:00Z' })), 'created_at', /in the future/],
    [JSON.stringify(line({ last_used_at: '2999-01-01T00:00:00Z' })), 'last_used_at', /in the future/],
    [JSON.stringify(line({ owner: {} })), 'owner.subject', /is required/],
    [JSON.stringify(line({ allowed_cidrs: ['here'] })), 'allowed_cidrs', /not an IPv4 or IPv6 network/],
    [JSON.stringify(line({ hint: 'ab…cdefg' })), 'hint', /last four/],
    [JSON.stringify(line({ hint: 'a…b…c' })), 'hint', /last four/],
    [JSON.stringify(line({ prefix: 'two words' })), 'prefix', /printable ASCII/],
    [JSON.stringify(line({ name: 'a\0b' })), 'name', /NUL|control characters/],
    [JSON.stringify(line({ comment: world.admin })), 'comment', /contains a token/],
    [
      JSON.stringify({
        ...line(),
        sha256: sha256('secret-in-the-wrong-member'),
        comment: 'secret-in-the-wrong-member',
      }),
      'comment',
      /is the secret itself/,
    ],
    [
      JSON.stringify({
        ...line(),
        sha256: sha256('secret-in-the-wrong-member'),
        metadata: { key: 'secret-in-the-wrong-member' },
      }),
      'key',
      /is the secret itself/,
    ],
    [
      JSON.stringify({
        ...line(),
        sha256: sha256('secret-in-the-wrong-member'),
        hint: 'secret-in-the-wrong-member',
      }),
      'hint',
      /is the secret itself/,
    ],
    [JSON.stringify(line({ comment: 'x'.repeat(1024 * 1024) })), '', /longer than/],
  ]
  const body = Buffer.concat(
    [good, ...wrong.map(([text]) => text), JSON.stringify(line())].flatMap((text) => [
      Buffer.from(text),
      Buffer.from('\n'),
    ]),
  )
  const answer = await world.app.inject({
    method: 'POST',
    url: path,
    payload: body,
    headers: { authorization: `Bearer ${world.admin}`, 'content-type': 'application/x-ndjson' },
  })
  const { results, summary } = readResults(answer.body)
  t.match(summary, { lines: wrong.length + 2, created: 2, invalid: wrong.length, complete: true })
  t.match(
    [results[0], results.at(-1)],
    [{ status: 'created' }, { line: wrong.length + 2, status: 'created' }],
  )
  for (const [index, [text, field, detail]] of wrong.entries()) {
    const { status, errors, detail: said } = results[index + 1]
    t.match({ status, errors }, { status: 'invalid', errors: [{ field }] }, String(text).slice(0, 60))
    t.match(said, detail)
    t.notMatch(answer.body, 'leaked"')
  }
})

t.test('blank lines, CR LF, a byte order mark and a last line without an end are accepted', async (t) => {
  const [one, two] = lines(2).map((line) => JSON.stringify(line))
  const { results, summary } = await importInto(world, `\uFEFF${one}\r\n\r\n  \n${two}`)
  t.match(results, [
    { line: 1, status: 'created' },
    { line: 4, status: 'created' },
  ])
  t.equal(summary.lines, 2)
})

t.test('a body without a line is a 400, and another media type a 415', async (t) => {
  for (const body of ['', '\n', ' \r\n\n', '\uFEFF'])
    t.match(await importInto(world, body), { status: 400, body: { detail: /^body / } }, JSON.stringify(body))
  for (const type of ['application/json', 'text/csv', 'application/x-www-form-urlencoded', 'x']) {
    const headers = { 'content-type': type }
    t.match(await importInto(world, [line()], { headers }), { status: 415 }, type)
  }
})

t.test('results arrive while the request is being sent', async (t) => {
  const { sent, send, read, response } = open(t)
  send(lines(100))
  t.match(await read(100), Array(100).fill({ status: 'created' }))
  t.equal((await response).headers['content-type'], 'application/x-ndjson')
  send(lines(30))
  sent.end()
  t.match(await read(31), [
    ...Array(30).fill({ status: 'created' }),
    { summary: { created: 130, complete: true } },
  ])
})

t.test(
  'of a client that leaves half-way, what was stored stays, and sending it again is harmless',
  async (t) => {
    const before = made
    const { sent, send, read } = open(t)
    const some = lines(250)
    send(some)
    await read(100)
    sent.destroy()
    // The second batch may be in progress, and the rest does not fill a third.
    await until(async () => !sockets.some(({ destroyed }) => !destroyed))
    const again = await importInto(world, some)
    t.match(again.summary, { lines: 250, invalid: 0, complete: true })
    t.match(again.results.slice(0, 100), Array(100).fill({ status: 'exists' }))
    t.ok(again.summary.exists < 250, 'the import stopped')
    const { rows } = await world.sql(
      'select count(*)::int as count from token_secrets where hash = any($1)',
      [some.map(({ sha256 }) => Buffer.from(sha256, 'hex'))],
    )
    t.equal(rows[0].count, made - before)
  },
)

t.test('a client that reads nothing is not read from either', async (t) => {
  const headers = { authorization: `Bearer ${world.admin}`, 'content-type': 'application/x-ndjson' }
  const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers })
  const wrong = JSON.stringify(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`unknown${i}`, i])))
  const count = 12_000
  const [server] = await Promise.all([
    once(world.app.server, 'connection').then(([socket]) => socket as Socket),
    sent.flushHeaders(),
  ])
  sent.end(`${wrong}\n`.repeat(count))
  const total = wrong.length * count
  const [response] = await once(sent, 'response')
  await until(() => server.writableNeedDrain)
  const turns = async () => {
    for (let i = 0; i < 20; i++) await fetch(`http://127.0.0.1:${port}/livez`)
    return server.bytesRead
  }
  let read = await turns()
  for (let next = await turns(); next !== read; next = await turns()) read = next
  t.ok(read < total, `${read} of ${total} bytes are read`)
  const { results, summary } = readResults((await response.setEncoding('utf8').toArray()).join(''))
  t.equal(results.length, count)
  t.match(summary, { invalid: count, complete: true })
})

t.test('memory does not grow with the lines of a request', async (t) => {
  const { sent, send, read } = open(t)
  const batch = lines(100).map((one) => ({ ...one, comment: 'x'.repeat(2_000) }))
  const keptAfter = async (batches: number) => {
    for (let i = 0; i < batches; i++) {
      send(batch)
      t.equal((await read(batch.length)).length, batch.length)
    }
    collectGarbage()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const early = await keptAfter(10)
  const size = 40 * ndjson(batch).length
  const grown = (await keptAfter(40)) - early
  t.ok(grown < size / 4, `${grown} bytes more after ${size} bytes`)
  sent.end()
})

t.test('an import ends when the credential that sent it does', async (t) => {
  const { id, secret } = await world.issue({ type: 'management', scopes: ['tokens:write'] })
  const { send, read } = open(t, secret)
  send(lines(100))
  await read(100)
  await world.ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
  const more = lines(100)
  send(more)
  t.match(await read(2), [{ summary: { lines: 100, created: 100, complete: false, code: 'invalid_token' } }])
  t.match((await importInto(world, more)).summary, { created: 100 })
})

t.test('an error of the database ends the import; the batches before it stay', async (t) => {
  await world.sql("alter table tokens add constraint poison check (name <> 'Imported poison')")
  const some = [...lines(100), ...lines(99), line({ name: 'Imported poison' })]
  const answer = await importInto(world, some)
  t.match(answer.summary, { lines: 100, created: 100, complete: false, code: 'internal_error' })
  t.match(await importInto(world, some.slice(100)), { status: 500 }, 'in the first batch it is the status')
  await world.sql('alter table tokens drop constraint poison')
  t.match((await importInto(world, some)).summary, { exists: 100, created: 100, complete: true })
})

t.test('a large import is announced secret by secret, so that no instance drops its cache', async (t) => {
  const heard: string[] = []
  const listener = new pg.Client({ connectionString: world.databaseUrl })
  await listener.connect()
  t.teardown(() => listener.end())
  listener.on('notification', ({ payload = '' }) => heard.push(payload))
  await listener.query('listen counterfoil_changes')
  const count = 5_000
  const { summary, results } = await importInto(world, lines(count))
  t.match(summary, { lines: count, created: count, complete: true })
  t.equal(new Set(results.map(({ token }) => token)).size, count)
  await listener.query('select 1')
  await until(() => heard.length >= count)
  t.notOk(heard.includes('all'))
  const last = new Secret(secretOf(made))
  t.ok(heard.includes(last.hashText()))
  t.match(await world.introspect(last.reveal()), { active: true })
})

t.test('a request that takes long to send is not cut off, unlike others', async (t) => {
  const expire = (socket: Socket | undefined) =>
    world.app.server.emit(
      'clientError',
      Object.assign(new Error(), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }),
      socket,
    )
  const { sent, send, read } = open(t)
  send(lines(100))
  await read(100)
  const socket = sockets.at(-1)
  expire(socket)
  send(lines(1))
  sent.end()
  t.match(await read(2), [{ status: 'created' }, { summary: { complete: true } }])
  await until(() => socket?.writable === true)
  expire(socket)
  await until(() => socket?.destroyed)
})

t.test('while the service shuts down, an import ends after its batch', async (t) => {
  const { send, read } = open(t)
  send(lines(100))
  await read(100)
  drained.abort()
  send(lines(100))
  t.match(await read(2), [{ summary: { lines: 100, complete: false, code: 'unavailable' } }])
})

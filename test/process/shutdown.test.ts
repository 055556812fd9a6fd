import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { cloneDatabase } from '../support/database.ts'
import { freePort, run, said } from '../support/process.ts'

const adminToken = 'an-administrator-token-of-the-shutdown-tests'

async function start(t: Test, env: Record<string, string> = {}) {
  const port = await freePort()
  const started = run(t, [], {
    DATABASE_URL: await cloneDatabase(),
    ADMIN_TOKEN: adminToken,
    PORT: String(port),
    ...env,
  })
  await said(started, 'Server listening')
  return { started, port }
}

/** A request whose body is held back: it stays in flight until `finish`. */
function hold(port: number) {
  const body = JSON.stringify({ key: 'late', name: 'Late' })
  const headers = {
    authorization: `Bearer ${adminToken}`,
    'content-type': 'application/json',
    'content-length': body.length,
    expect: '100-continue',
  }
  const outgoing = request({
    port,
    method: 'POST',
    path: '/v1/organizations',
    headers,
  })
  outgoing.flushHeaders()
  return { outgoing, taken: once(outgoing, 'continue'), finish: () => outgoing.end(body) }
}

t.test('SIGTERM ends a process that is busy in every way', async (t) => {
  const { started, port } = await start(t, { SHUTDOWN_GRACE_SECONDS: '5' })
  const held = hold(port)
  await held.taken
  const incomplete = await sendIncomplete(port)
  const headers = { authorization: `Bearer ${adminToken}` }
  const stream = await fetch(`http://127.0.0.1:${port}/v1/revocations/stream`, { headers })
  const reader = (stream.body as ReadableStream<Uint8Array>).getReader()
  await reader.read()
  started.child.kill('SIGTERM')
  await said(started, '"stopping"')

  await t.test('in the grace period it is not ready, and answers with Connection: close', async (t) => {
    const ask = async (path: string, init: RequestInit = {}) => {
      const { status, headers } = await fetch(`http://127.0.0.1:${port}${path}`, init)
      return [path, status, headers.get('connection')]
    }
    t.same(await ask('/readyz'), ['/readyz', 503, 'close'])
    t.same(await ask('/livez'), ['/livez', 200, 'close'])
    t.same(await ask('/nonesuch'), ['/nonesuch', 404, 'close'])
    t.same(await ask('/v1/self', { headers }), ['/v1/self', 200, 'close'])
    const body = new URLSearchParams({ token: adminToken })
    t.same(await ask('/introspect', { method: 'POST', headers, body }), ['/introspect', 200, 'close'])
    t.same(await ask('/v1/revocations/stream', { headers }), ['/v1/revocations/stream', 503, 'close'])
  })

  await t.test('a revocation stream ends as a complete response', async () => {
    for (let done = false; !done; ) done = (await reader.read()).done
  })

  await t.test('a request in flight is answered', async (t) => {
    held.finish()
    const [response] = await once(held.outgoing, 'response')
    t.equal(response.statusCode, 201)
  })

  await t.test('clients with incomplete requests do not delay the end, with 0', async (t) => {
    t.match(await started.exit, { code: 0 })
    await t.rejects(fetch(`http://127.0.0.1:${port}/livez`), 'nothing listens any more')
  })
  for (const socket of incomplete) socket.destroy()
})

/** Clients that sent nothing, or a piece of a request, and are silent since. */
async function sendIncomplete(port: number): Promise<Socket[]> {
  const headers = `Host: x\r\nAuthorization: Bearer ${adminToken}\r\nContent-Length: 40\r\n`
  const form = 'Content-Type: application/x-www-form-urlencoded\r\n'
  const parts = {
    nothing: '',
    'a piece of the head': 'GET /livez HTTP/1.1\r\nHost:',
    'the head': `POST /v1/organizations HTTP/1.1\r\n${headers}Content-Type: application/json\r\n\r\n`,
    'a piece of the body': `POST /revoke HTTP/1.1\r\n${headers}${form}\r\ntoken=`,
    'a piece of the body of an introspection': `POST /introspect HTTP/1.1\r\n${headers}${form}\r\ntoken=`,
  }
  const sockets = await Promise.all(
    Object.values(parts).map(async (part) => {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      await once(socket, 'connect')
      socket.write(part)
      return socket
    }),
  )
  // Connections are accepted in order, so this response shows that the earlier ones were too.
  await fetch(`http://127.0.0.1:${port}/livez`)
  return sockets
}

/** Introspects on one connection, repeatedly, until the response announces that it closes. */
async function introspectUntilClosed(port: number, answered: () => void): Promise<string> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const body = `token=${adminToken}`
  const headers = {
    authorization: `Bearer ${adminToken}`,
    'content-type': 'application/x-www-form-urlencoded',
    'content-length': body.length,
  }
  for (;;) {
    const outgoing = request({ port, method: 'POST', path: '/introspect', headers, agent }).end(body)
    try {
      const [response] = await once(outgoing, 'response')
      await text(response)
      answered()
      if (response.headers.connection === 'close') return `${response.statusCode}`
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? String(error)
    }
  }
}

for (const workers of ['1', '2']) {
  t.test(`no client loses a request when ${workers} processes stop while all are sending`, async (t) => {
    const { started, port } = await start(t, { SHUTDOWN_GRACE_SECONDS: '3', WORKERS: workers })
    const clients = 48
    const busy = new Set<number>()
    const { promise: allBusy, resolve } = Promise.withResolvers<void>()
    const ended = Array.from({ length: clients }, (_, client) =>
      introspectUntilClosed(port, () => {
        if (busy.add(client).size === clients) resolve()
      }),
    )
    await allBusy
    started.child.kill('SIGTERM')
    t.same(
      await Promise.all(ended),
      Array.from({ length: clients }, () => '200'),
    )
    t.match(await started.exit, { code: 0 })
  })
}

t.test('a second signal ends the process at once', async (t) => {
  for (const workers of ['1', '2']) {
    const { started, port } = await start(t, { SHUTDOWN_GRACE_SECONDS: '300', WORKERS: workers })
    const held = hold(port)
    held.outgoing.on('error', () => {})
    await held.taken
    started.child.kill('SIGTERM')
    await said(started, '"stopping"')
    started.child.kill('SIGTERM')
    t.match(await started.exit, { code: 1 })
  }
})

t.test('an unexpected error ends the process with 70', async (t) => {
  const defect = `setTimeout(() => { throw new Error('a defect') }, 0)`
  const started = run(t, [], {
    DATABASE_URL: await cloneDatabase(),
    ADMIN_TOKEN: adminToken,
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURI(defect)}`,
  })
  t.match(await started.exit, { code: 70 })
  t.match(started.output(), /a defect/)
})

import { once } from 'node:events'
import { type Agent, request } from 'node:http'
import t from 'tap'
import { createEmptyDatabase } from '../support/database.ts'
import { freePort, run, said } from '../support/process.ts'

const adminToken = 'an-administrator-token-of-the-shutdown-tests'

async function start(t: Parameters<typeof run>[0]) {
  const port = await freePort()
  const started = run(t, [], {
    DATABASE_URL: await createEmptyDatabase(),
    ADMIN_TOKEN: adminToken,
    PORT: String(port),
  })
  await said(started, 'Server listening')
  return { started, port }
}

/** A request whose body is held back: the service has it in flight until `finish`. */
function hold(port: number, agent?: Agent) {
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
    ...(agent && { agent }),
  })
  outgoing.flushHeaders()
  return { outgoing, taken: once(outgoing, 'continue'), finish: () => outgoing.end(body) }
}

t.test('SIGTERM lets what is in flight finish, takes nothing new, and ends with 0', async (t) => {
  const { started, port } = await start(t)
  const held = hold(port)
  await held.taken
  started.child.kill('SIGTERM')
  await said(started, '"stopping"')
  await t.rejects(fetch(`http://127.0.0.1:${port}/livez`), 'no new connection is accepted')
  held.finish()
  const [response] = await once(held.outgoing, 'response')
  t.equal(response.statusCode, 201)
  t.match(await started.exit, { code: 0 })
})

t.test('a second signal ends it at once', async (t) => {
  const { started, port } = await start(t)
  const held = hold(port)
  held.outgoing.on('error', () => {})
  await held.taken
  started.child.kill('SIGTERM')
  await said(started, '"stopping"')
  started.child.kill('SIGTERM')
  t.match(await started.exit, { code: 1 })
})

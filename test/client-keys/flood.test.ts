import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import t from 'tap'
import { maxUnauthenticated } from '../../src/authentication/client-assertion.ts'
import { makeClient, withAssertion } from '../support/client.ts'
import { createWorld } from '../support/world.ts'

t.test(
  'clients without a credential that never finish their bodies do not block callers with one',
  async (t) => {
    const world = await createWorld(t)
    const { secret, sign, introspect } = await makeClient(world)
    await world.app.listen({ host: '127.0.0.1', port: 0 })
    const { port } = world.app.server.address() as AddressInfo
    const head = [
      ...['POST /introspect HTTP/1.1', 'Host: counterfoil.test', 'Content-Length: 100'],
      ...['Content-Type: application/x-www-form-urlencoded', '', 'token='],
    ].join('\r\n')
    const heard = Promise.withResolvers<void>()
    const gone: Promise<unknown>[] = []
    world.app.server.on('request', (_request, response: ServerResponse) => {
      if (gone.push(once(response, 'close')) === maxUnauthenticated) heard.resolve()
    })
    const strangers = Array.from({ length: maxUnauthenticated }, () => {
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(head)
      return socket
    })
    t.teardown(() => strangers.map((socket) => socket.destroy()))
    const anonymous = () => world.ask('POST', '/introspect', { token: '', form: { token: 'x' } })
    await heard.promise
    t.match(await anonymous(), {
      status: 503,
      headers: { 'retry-after': '1' },
      body: { error: 'temporarily_unavailable' },
    })
    t.match(await world.ask('POST', '/introspect', { token: secret, form: { token: secret } }), {
      status: 200,
    })
    for (const socket of strangers) socket.destroy()
    await Promise.all(gone)
    t.match(await introspect(secret, withAssertion(await sign())), { status: 200, body: { active: true } })
  },
)

t.test('an answered request frees its slot', async (t) => {
  const world = await createWorld(t)
  const base = await world.app.listen({ host: '127.0.0.1', port: 0 })
  for (let i = 0; i <= maxUnauthenticated; i++) {
    const { status } = await fetch(`${base}/introspect`, {
      method: 'POST',
      body: new URLSearchParams('token=x'),
    })
    t.equal(status, 401)
  }
})

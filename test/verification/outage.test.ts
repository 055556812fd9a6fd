import t from 'tap'
import { appBehindCable } from '../http/cable.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const gateway = await world.manager(['tokens:introspect'])
const { secret } = await world.issue()
const headers = { authorization: `Bearer ${secret}`, 'x-counterfoil-gateway': gateway }

t.test('if a token cannot be verified, the request is rejected with a reason', async (t) => {
  const { app, cable } = await appBehindCable(t, world)
  const ask = () => app.inject({ method: 'GET', url: '/verify', headers })
  t.equal((await ask()).statusCode, 200)
  await cable.cut()
  const answer = await ask()
  t.equal(answer.statusCode, 503)
  t.match(answer.headers, { 'retry-after': '1', 'cache-control': 'no-store' })
  t.match(answer.json(), { code: 'unavailable' })
  t.notOk('x-token-id' in answer.headers)
  await cable.mend()
  t.equal((await ask()).statusCode, 200)
})

t.test('requests beyond the limit are rejected', async (t) => {
  const limits = { introspection: 0, management: 200 }
  const busy = await createWorld(t, { limits })
  const answer = await busy.ask('GET', '/verify', { headers })
  t.match(answer, { status: 503, headers: { 'retry-after': '1' }, body: { code: 'overloaded' } })
  const announced = await busy.ask('POST', '/verify', { headers, body: '{}' })
  t.match(
    announced,
    { status: 503, headers: { connection: 'close' } },
    'its body is never taken for a request',
  )
})

import pg from 'pg'
import t from 'tap'
import { catalogue } from '../../src/shared/errors.ts'
import { createWorld } from '../support/world.ts'
import { appBehindCable } from './cable.ts'

const tokens = '/v1/organizations/default/tokens'
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/

t.test(
  'RFC 9457 §3: a problem has type, title, status and detail, and names the invalid inputs',
  async (t) => {
    const world = await createWorld(t)
    const answer = await world.ask('POST', tokens, { body: { name: 7, colour: 'red' } })
    t.equal(answer.status, 400)
    t.match(answer.headers['content-type'], /^application\/problem\+json/)
    const { errors, request_id, ...problem } = answer.body
    t.same(problem, {
      type: '/problems/invalid_request',
      title: 'The request is malformed',
      status: 400,
      detail: 'body colour is not known here',
      code: 'invalid_request',
    })
    t.same(errors, [
      { in: 'body', field: 'colour', detail: 'is not known here' },
      { in: 'body', field: 'name', detail: 'must be string' },
    ])
    t.match(request_id, uuid)
    t.equal(request_id, answer.headers['x-request-id'])
  },
)

t.test('RFC 9457 §3.1.1: the type of a problem leads to its description, with advice', async (t) => {
  const world = await createWorld(t)
  const { body } = await world.ask('GET', '/v1/organizations/nowhere')
  const described = await world.ask('GET', body.type, { token: '' })
  t.same(described.body, { code: 'not_found', ...catalogue.not_found })
  for (const [code, { advice }] of Object.entries(catalogue)) {
    t.match(advice, /^[A-Z][^.]{15,}\.$/, `${code} has one sentence of advice`)
    t.equal((await world.ask('GET', `/problems/${code}`, { token: '' })).body.advice, advice)
  }
})

t.test('an unknown path is a 404 problem, with and without a credential', async (t) => {
  const world = await createWorld(t)
  for (const url of ['/v1', '/v1/nothing', '/introspect/more', '/%zz', '/v1/%00']) {
    const answer = await world.ask('GET', url, { token: '' })
    t.match(
      answer.body,
      { status: answer.status, code: answer.status === 404 ? 'not_found' : 'invalid_request' },
      url,
    )
    t.match(answer.headers['content-type'], /^application\/problem\+json/)
    t.match(answer.body.request_id, uuid)
    t.notMatch(answer.body.detail, url, 'the address is not repeated: people put tokens there')
  }
})

t.test('an unexpected error is a 500 with only the request id, and its details are in the log', async (t) => {
  const world = await createWorld(t)
  const { secret } = await world.issue()
  await world.sql('alter table audit_events rename to lost')
  const answer = await world.ask('POST', tokens, { body: { name: 'Unlucky', type: 'api' } })
  t.equal(answer.status, 500)
  t.same(answer.body, {
    type: '/problems/internal_error',
    title: 'Internal error',
    status: 500,
    detail: 'Something unexpected happened. It was logged under this request id.',
    code: 'internal_error',
    request_id: answer.headers['x-request-id'],
  })
  const { rows } = await world.sql("select from tokens where name = 'Unlucky'")
  t.equal(rows.length, 0, 'the token is not written without its row of the change log')

  await world.sql('drop table token_secrets cascade')
  const introspection = await world.ask('POST', '/introspect', { form: { token: secret } })
  t.equal(introspection.status, 500)
  t.same(introspection.body, {
    error: 'server_error',
    error_description: 'Something unexpected happened. It was logged under this request id.',
    request_id: introspection.headers['x-request-id'],
  })
})

t.test(
  'RFC 9110 §15.6.4: without the database it is a 503 with Retry-After, and recovers with it',
  async (t) => {
    const world = await createWorld(t)
    const { secret } = await world.issue()
    const { app, cable } = await appBehindCable(t, world)
    const headers = { authorization: `Bearer ${world.admin}` }
    const form = { 'content-type': 'application/x-www-form-urlencoded', ...headers }
    const introspect = {
      method: 'POST',
      url: '/introspect',
      headers: form,
      payload: `token=${secret}`,
    } as const
    const revoke = { ...introspect, url: '/revoke' }
    const list = { method: 'GET', url: tokens, headers } as const
    const ready = { method: 'GET', url: '/readyz' } as const
    const live = { method: 'GET', url: '/livez' } as const

    for (const request of [list, ready, live, introspect])
      t.equal((await app.inject(request)).statusCode, 200)
    await cable.cut()
    for (const request of [list, ready, introspect, revoke]) {
      const answer = await app.inject(request)
      t.equal(answer.statusCode, 503, request.url)
      t.match(answer.headers['retry-after'], /^[1-9]\d*$/)
      const expected = request.url.startsWith('/v1') || request === ready ? { code: 'unavailable' } : {}
      t.match(answer.json(), { request_id: answer.headers['x-request-id'], ...expected })
    }
    t.match((await app.inject(introspect)).json(), { error: 'temporarily_unavailable' })
    t.equal((await app.inject(live)).statusCode, 200, 'the process itself is well')
    await cable.mend()
    for (const request of [list, ready, introspect]) t.equal((await app.inject(request)).statusCode, 200)
    t.match((await app.inject(introspect)).json(), { active: true })
  },
)

t.test('a database that fails in the middle of a query is a 503 too', async (t) => {
  const world = await createWorld(t)
  const { app, cable } = await appBehindCable(t, world)
  const blocker = new pg.Client({ connectionString: world.databaseUrl })
  await blocker.connect()
  await blocker.query('begin; lock table audit_events')
  const headers = { authorization: `Bearer ${world.admin}` }
  const url = '/v1/organizations/default/audit-events'
  const status = app.inject({ method: 'GET', url, headers }).then((answer) => answer.statusCode)
  const waiting =
    "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
  while ((await world.sql(waiting)).rows.length === 0);
  await cable.cut()
  t.equal(await status, 503)
  await blocker.end()
})

t.test('an infinite number in the query exceeds every maximum', async (t) => {
  const world = await createWorld(t)
  for (const url of ['/v1/organizations', '/v1/organizations/default/tokens', '/v1/revocations']) {
    for (const limit of ['1e400', '-1e400', '1e3.', 'Infinity', 'NaN']) {
      const answer = await world.ask('GET', `${url}?limit=${limit}`)
      t.match(answer, { status: 400, body: { errors: [{ in: 'query', field: 'limit' }] } }, `${url} ${limit}`)
    }
  }
})

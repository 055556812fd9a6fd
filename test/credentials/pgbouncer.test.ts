import t from 'tap'
import { readConfig } from '../../src/config.ts'
import { createDb } from '../../src/db/database.ts'
import { sessionProblem } from '../../src/db/session.ts'
import { databaseWarnings } from '../../src/prepare.ts'
import { revokeBySql, revokeWithoutNotification, startInstance } from '../support/credentials.ts'
import { hasPgbouncer, startPgbouncer } from '../support/pgbouncer.ts'
import { run } from '../support/process.ts'
import { createProxy } from '../support/proxy.ts'
import { until } from '../support/until.ts'
import { createWorld } from '../support/world.ts'

if (hasPgbouncer()) {
  const world = await createWorld(t)
  const pooled = await startPgbouncer(t, world.databaseUrl)

  t.test(
    'behind pgbouncer in transaction mode, with a direct connection for listening, the cache is used',
    async (t) => {
      const options = { databaseUrl: pooled, listenUrl: world.databaseUrl }
      const { credentials, accepts, learn, lease } = await startInstance(t, world, options)
      await lease(true)
      const [first, second] = [await world.issue(), await world.issue()]
      await Promise.all([learn(first.secret), learn(second.secret)])
      await revokeWithoutNotification(world, first.id)
      t.equal(await accepts(first.secret), true)
      await revokeBySql(world, second.id)
      await credentials.settled()
      t.equal(await accepts(second.secret), false)
    },
  )

  t.test('listening through pgbouncer is detected: the service is not ready and says why', async (t) => {
    const options = { databaseUrl: pooled, listenUrl: pooled }
    const { time, credentials, accepts } = await startInstance(t, world, options)
    const { secret } = await world.issue()
    const ticking = setInterval(() => {
      time.outlive()
      time.tick()
    }, 10)
    t.teardown(() => clearInterval(ticking))
    const reason = async (): Promise<string> => {
      await t.rejects(accepts(secret), { code: 'unavailable' })
      const why = await credentials.unready()
      return why?.includes('pooler') ? why : reason()
    }
    t.match(await reason(), /DATABASE_LISTEN_URL/)
  })

  t.test('a whole service works behind pgbouncer', async (t) => {
    const hot = { databaseUrl: pooled, listenUrl: world.databaseUrl }
    const service = await createWorld(t, { hot, databaseUrl: pooled, signing: world.signing })
    const headers = { authorization: `Bearer ${world.admin}` }
    const { id, secret } = await world.issue()
    t.match(await service.introspect(secret, world.admin), { active: true })
    const url = `/v1/organizations/default/tokens/${id}/revoke`
    t.equal((await service.app.inject({ method: 'POST', url, headers })).statusCode, 200)
    t.same(await service.introspect(secret, world.admin), { active: false })
  })

  t.test('a pooler without a statement timeout is detected', async (t) => {
    const warnings = async () => {
      const db = createDb({ url: pooled, prepares: false, poolSize: 1 })
      try {
        return await databaseWarnings({ db, prepares: false }, readConfig({}))
      } finally {
        await db.destroy()
      }
    }
    t.match((await warnings()).join(' '), /statement_timeout/)
    const name = new URL(world.databaseUrl).pathname.slice(1)
    await world.sql(`alter database ${name} set statement_timeout = '9s'`)
    // The pooler's open sessions predate the change.
    await world
      .sql(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
      )
      .catch(() => {})
    // The pooler may not have noticed yet that they are closed.
    await until(async () => (await warnings().catch(() => ['again'])).length === 0)
    t.same(await warnings(), [], 'the limit of the database is enough')
  })

  const indifferent = [
    'ignore_startup_parameters = options,statement_timeout,lock_timeout,idle_in_transaction_session_timeout',
  ]

  t.test(
    'without a direct connection for listening, it does not start behind pgbouncer and says what to set',
    async (t) => {
      const ignoring = await startPgbouncer(t, world.databaseUrl, indifferent)
      for (const DATABASE_URL of [pooled, ignoring]) {
        const started = run(t, [], { DATABASE_URL, ADMIN_TOKEN: 'an-administrator-token-of-this-test' })
        t.match(await started.exit, { code: 78 }, started.output())
        t.match(started.output(), /^counterfoil: [^\n]+DATABASE_LISTEN_URL[^\n]+\n$/)
      }
    },
  )

  t.test('a pooler that drops session settings makes the service not ready, with the reason', async (t) => {
    const ignoring = await startPgbouncer(t, world.databaseUrl, indifferent)
    const db = createDb({ url: ignoring, poolSize: 1 })
    t.teardown(() => db.destroy())
    t.match(await sessionProblem(db, false), /DATABASE_LISTEN_URL/)
  })

  t.test('when a pooler appears later, /readyz says why it is not ready, and nothing is a 500', async (t) => {
    const { id, secret } = await world.issue()
    const ignoring = await startPgbouncer(t, world.databaseUrl, indifferent)
    const requests = [
      ['GET', '/readyz'],
      ['GET', '/v1/self'],
      ['GET', '/v1/organizations/default/tokens'],
      ['POST', '/v1/organizations/default/tokens', { body: { name: 'Pooled', type: 'api' } }],
      ['PATCH', `/v1/organizations/default/tokens/${id}`, { body: { comment: 'Pooled' } }],
      ['POST', '/introspect', { form: { token: secret } }],
      ['POST', '/introspect/batch', { body: { tokens: [secret] } }],
      ['POST', '/revoke', { form: { token: 'unknown' } }],
      ['GET', '/v1/revocations'],
      ['GET', '/verify', { token: secret }],
    ] as const
    for (const [what, pooler] of Object.entries({
      'refuses settings': pooled,
      'ignores settings': ignoring,
    })) {
      const name = await createProxy(t, world.databaseUrl)
      const service = await createWorld(t, { databaseUrl: name.url, signing: world.signing })
      name.flip(pooler)
      const ready = () => service.ask('GET', '/readyz')
      await until(async () => /DATABASE_LISTEN_URL/.test((await ready()).body.detail))
      for (let round = 0; round < 3; round++) {
        const answers = requests.map(async ([method, path, ask = {}]) => {
          const { status } = await service.ask(method, path, { token: world.admin, ...ask })
          return { what, method, path, status }
        })
        const failed = (await Promise.all(answers)).filter(({ status }) => status >= 500 && status !== 503)
        t.same(failed, [])
      }
      t.match(await ready(), { status: 503, body: { code: 'unavailable', detail: /DATABASE_LISTEN_URL/ } })
      name.flip(world.databaseUrl)
      await until(async () => (await ready()).status === 200)
    }
  })

  t.test('settings that a pooler does not forward must be right already', async (t) => {
    const database = new URL(world.databaseUrl).pathname.slice(1)
    await world.sql(`alter database ${database} set extra_float_digits = 0`)
    t.teardown(() => world.sql(`alter database ${database} reset extra_float_digits`))
    const DATABASE_URL = await startPgbouncer(t, world.databaseUrl)
    const env = { DATABASE_URL, DATABASE_LISTEN_URL: world.databaseUrl, ADMIN_TOKEN: 'x'.repeat(32) }
    const started = run(t, [], env)
    t.match(await started.exit, { code: 78 }, started.output())
    t.match(started.output(), /^counterfoil: [^\n]+extra_float_digits = '1'[^\n]+\n$/)
  })
} else {
  t.comment('pgbouncer is not installed: nothing was tried with it')
}

import t from 'tap'
import { generateSecret } from '../../src/shared/secret.ts'
import { preparedDirectory, query, start } from '../support/embedded.ts'
import { freePort, run, said } from '../support/process.ts'
import { recordSecret } from '../support/records.ts'
import { retried } from '../support/retried.ts'

t.test(
  'a PostgreSQL crash and restart causes some 503s, but no restart of the service and no wrong answer',
  async (t) => {
    const database = await start(t, await preparedDirectory(t))
    const admin = generateSecret('cfm').reveal()
    recordSecret(admin)
    const port = await freePort()
    const env = { DATABASE_URL: database.url, ADMIN_TOKEN: admin, PORT: String(port) }
    const service = run(t, [], env)
    await Promise.all([said(service, 'Server listening'), said(service, 'cache lease acquired')])
    const url = `http://127.0.0.1:${port}`
    const authorization = `Bearer ${admin}`

    const create = async () => {
      const body = JSON.stringify({ name: 'To be asked for', type: 'management', scopes: ['tokens:read'] })
      const headers = { authorization, 'content-type': 'application/json' }
      const response = await fetch(`${url}/v1/organizations/platform/tokens`, {
        method: 'POST',
        headers,
        body,
      })
      if (response.status !== 201) throw new Error(await response.text())
      const token = (await response.json()) as { id: string; secret: string }
      recordSecret(token.secret)
      return token
    }
    const introspect = (token: string) =>
      fetch(`${url}/introspect`, {
        method: 'POST',
        headers: { authorization },
        body: new URLSearchParams({ token }),
      })
    const isActive = async (token: string) => {
      const response = await retried(() => introspect(token))
      return ((await response.json()) as { active: boolean }).active
    }

    const [kept, revoked] = [await create(), await create()]
    for (const { secret } of [kept, revoked]) t.equal(await isActive(secret), true)

    const pids = await query(
      database.url,
      `select pid from pg_stat_activity where application_name = 'counterfoil' and datname = current_database()`,
    )
    // If one server process dies like this, PostgreSQL ends all others and goes through recovery.
    process.kill(Number(pids[0]?.pid), 'SIGKILL')
    const recovered = async (): Promise<void> => {
      const revoke = `update tokens set revoked_at = now() where id = '${revoked.id}'`
      await query(database.url, revoke).catch(recovered)
    }
    await recovered()

    t.equal(await isActive(kept.secret), true)
    const stale = async (): Promise<void> => {
      // Changed by SQL: it takes effect when the notification arrives or the lease is lost.
      if (await isActive(revoked.secret)) await stale()
    }
    await stale()
    t.match(await retried(() => introspect(kept.secret)), { status: 200 })
    t.equal(service.child.exitCode, null)
    service.child.kill('SIGTERM')
    t.match(await service.exit, { code: 0 })
  },
)

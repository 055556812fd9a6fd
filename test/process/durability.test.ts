import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { preparedDirectory } from '../support/embedded.ts'
import { freePort, run, said } from '../support/process.ts'
import { recordSecret } from '../support/records.ts'

t.test(
  'every acknowledged token is active after kill -9 in the middle of 20 concurrent creates',
  async (t) => {
    const dataDir = await preparedDirectory(t)
    const port = await freePort()
    const env = { DATA_DIR: dataDir, PORT: String(port) }
    const url = `http://127.0.0.1:${port}`
    const acknowledged: string[] = []

    for (let round = 0; round < 3; round++) {
      const started = run(t, [], env)
      await said(started, 'Counterfoil is running')
      const admin = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim()
      recordSecret(admin)
      const headers = { authorization: `Bearer ${admin}`, 'content-type': 'application/json' }
      const enough = acknowledged.length + 50
      const creator = async () => {
        for (;;) {
          const body = JSON.stringify({ name: 'Durable', type: 'api' })
          const response = await fetch(`${url}/v1/organizations/default/tokens`, {
            method: 'POST',
            headers,
            body,
          })
          const { secret } = (await response.json()) as { secret: string }
          // A busy machine may refuse some with 503.
          if (response.status !== 201) continue
          acknowledged.push(secret)
          if (acknowledged.length === enough) started.child.kill('SIGKILL')
        }
      }
      await Promise.allSettled(Array.from({ length: 20 }, creator))
      await started.exit
    }
    for (const secret of acknowledged) recordSecret(secret)

    const restarted = run(t, [], env)
    await said(restarted, 'Counterfoil is running')
    const admin = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim()
    const lost: string[] = []
    for (const secret of acknowledged) {
      const response = await fetch(`${url}/introspect`, {
        method: 'POST',
        headers: { authorization: `Bearer ${admin}` },
        body: new URLSearchParams({ token: secret }),
      })
      if (!((await response.json()) as { active: boolean }).active) lost.push(secret)
    }
    t.ok(acknowledged.length >= 150, `${acknowledged.length} were acknowledged`)
    t.same(lost, [])
    restarted.child.kill('SIGTERM')
    t.match(await restarted.exit, { code: 0 })
  },
)

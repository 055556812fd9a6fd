import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t, { type Test } from 'tap'
import { generateSecret } from '../../src/shared/secret.ts'
import { cloneDatabase } from '../support/database.ts'
import { freePort } from '../support/process.ts'
import { recordLog, recordSecret } from '../support/records.ts'

type Line = { msg: string; pid: number }

const program = join(import.meta.dirname, '../../src/server.ts')

/** A service with two workers; `said` waits for the next matching log line. */
async function start(t: Test) {
  const port = await freePort()
  const secret = generateSecret('cfm')
  recordSecret(secret.reveal())
  const env = {
    PATH: process.env.PATH,
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
    DATABASE_URL: await cloneDatabase(),
    ADMIN_TOKEN: secret.reveal(),
    PORT: String(port),
    WORKERS: '2',
    DATABASE_POOL_SIZE: '2',
    SHUTDOWN_GRACE_SECONDS: '0',
  }
  const child = spawn(process.execPath, [program], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => end(child))
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  const said = async (text: string): Promise<Line> => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error(`it ended without having said: ${text}`)
      recordLog(`${value}\n`)
      const line = JSON.parse(value) as Line
      if (line.msg.startsWith(text)) return line
    }
  }
  return { child, said, admin: secret.reveal(), url: `http://127.0.0.1:${port}` }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

t.test('two workers share the port, one that dies is replaced, and SIGTERM ends all', async (t) => {
  const { child, said, admin, url } = await start(t)
  const pids = [(await said('Server listening')).pid, (await said('Server listening')).pid]
  t.equal(new Set([...pids, child.pid]).size, 3)

  process.kill(pids[0] ?? 0, 'SIGKILL')
  t.equal((await said('a worker ended and is replaced')).pid, pids[0])
  const replacement = await said('Server listening')
  const response = await fetch(`${url}/introspect`, {
    method: 'POST',
    headers: { authorization: `Bearer ${admin}` },
    body: new URLSearchParams({ token: admin }),
  })
  t.match(await response.json(), { active: true })
  const metrics = await (await fetch(`${url}/metrics`)).text()
  t.match(metrics, /^http_request_duration_seconds_count\{.*route="\/introspect".*\} 1$/m)

  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  t.same(await exited, [0, null])
  for (const pid of [pids[1] ?? 0, replacement.pid]) t.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

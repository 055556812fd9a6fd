import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import { cloneDatabase } from '../support/database.ts'
import { freePort, said } from '../support/process.ts'

t.test('SIGTERM to npm start ends the service, and with its exit code', async (t) => {
  const child = spawn('npm', ['start'], {
    cwd: join(import.meta.dirname, '../..'),
    env: {
      ...process.env,
      DATABASE_URL: await cloneDatabase(),
      ADMIN_TOKEN: 'an-administrator-token-of-the-npm-test',
      PORT: String(await freePort()),
      SHUTDOWN_GRACE_SECONDS: '0',
    },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  const exit = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  await said({ child, output: () => output, exit }, 'Server listening')
  const service = Number(/"pid":(\d+)/.exec(output)?.[1])
  t.teardown(() => isRunning(service) && process.kill(service, 'SIGKILL'))
  child.kill('SIGTERM')
  t.same(await exit, { code: 0, signal: null }, output)
  t.notOk(isRunning(service), 'nothing is left running')
})

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

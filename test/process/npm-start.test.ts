import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { cloneDatabase } from '../support/database.ts'
import { freePort, said } from '../support/process.ts'

const root = join(import.meta.dirname, '../..')

t.test('SIGTERM to npm start ends the service, and with its exit code', async (t) => {
  const { child, service, exit, output } = await npmStart(t, root)
  child.kill('SIGTERM')
  t.same(await exit, { code: 0, signal: null }, output())
  t.notOk(isRunning(service), 'nothing is left running')
})

t.test('npm start without the development dependencies', async (t) => {
  const folder = await withoutDevelopment(t)

  await t.test('says that the console is not built, and leads to the reference', async (t) => {
    const { child, exit, output, url } = await npmStart(t, folder)
    t.match(output(), 'the console is not built. Run npm ci and npm run build')
    const answer = await fetch(`${url}/`)
    t.equal(answer.url, `${url}/docs/`)
    t.equal(answer.status, 200)
    t.equal((await fetch(`${url}/console/`)).status, 404)
    child.kill('SIGTERM')
    await exit
  })

  await t.test('serves the console that was built before', async (t) => {
    await cp(join(root, 'dist/console'), join(folder, 'dist/console'), { recursive: true })
    await promisify(execFile)(process.execPath, ['console/build.ts'], { cwd: folder })
    t.ok((await readdir(join(folder, 'dist/console'))).includes('main.js'))
  })
})

async function npmStart(t: Test, cwd: string) {
  const port = await freePort()
  const child = spawn('npm', ['start'], {
    cwd,
    env: {
      ...process.env,
      DATABASE_URL: await cloneDatabase(),
      ADMIN_TOKEN: 'an-administrator-token-of-the-npm-test',
      PORT: String(port),
      SHUTDOWN_GRACE_SECONDS: '0',
    },
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (more: string) => {
      text += more
    })
  const output = () => text
  const exit = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  await said({ child, output, exit }, 'Server listening')
  const service = Number(/"pid":(\d+)/.exec(text)?.[1])
  t.teardown(() => isRunning(service) && process.kill(service, 'SIGKILL'))
  return { child, service, exit, output, url: `http://localhost:${port}` }
}

/** A clone after `npm ci --omit=dev`, as far as it matters to a start: without the compiler, and with nothing built. */
async function withoutDevelopment(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'counterfoil-npm-start-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  for (const name of ['package.json', 'console/build.ts', 'src', 'migrations'])
    await cp(join(root, name), join(folder, name), { recursive: true })
  await mkdir(join(folder, 'node_modules'))
  for (const name of await readdir(join(root, 'node_modules')))
    if (name !== 'typescript7')
      await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name))
  return folder
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

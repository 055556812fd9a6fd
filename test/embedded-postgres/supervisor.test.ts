import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { postmasterPid, preparedDirectory, start } from '../support/embedded.ts'
import { freePort, type Run, run, said } from '../support/process.ts'
import { recordSecret } from '../support/records.ts'
import { retried } from '../support/retried.ts'
import { until } from '../support/until.ts'

const restarted = 'the embedded PostgreSQL ended unexpectedly and was restarted'

type Service = Run & { url: string; admin: string }

async function serve(t: Test, dataDir: string, more: Record<string, string> = {}): Promise<Service> {
  const port = await freePort()
  const started = run(t, [], { DATA_DIR: dataDir, PORT: String(port), ...more })
  await said(started, 'Counterfoil is running')
  const admin = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim()
  recordSecret(admin)
  return { ...started, url: `http://127.0.0.1:${port}`, admin }
}

async function createToken({ url, admin }: Service): Promise<string> {
  const response = await fetch(`${url}/v1/organizations/default/tokens`, {
    method: 'POST',
    headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Made before', type: 'api' }),
  })
  const { secret } = (await response.json()) as { secret: string }
  recordSecret(secret)
  return secret
}

async function isActive({ url, admin }: Service, token: string): Promise<boolean> {
  const body = new URLSearchParams({ token })
  const headers = { authorization: `Bearer ${admin}` }
  const response = await retried(() => fetch(`${url}/introspect`, { method: 'POST', headers, body }))
  return ((await response.json()) as { active: boolean }).active
}

/** Kills the server and makes every restart fail. */
async function breakServer(dataDir: string): Promise<void> {
  await writeFile(join(dataDir, 'postgres', 'postgresql.auto.conf'), 'max_connections = many\n')
  process.kill(await postmasterPid(dataDir), 'SIGKILL')
}

async function repairServer(dataDir: string): Promise<void> {
  await writeFile(join(dataDir, 'postgres', 'postgresql.auto.conf'), '')
}

for (const [name, adopted, more] of [
  ['that it launched', false, {}],
  ['that it adopted', true, {}],
  ['that its workers use', false, { WORKERS: '2' }],
] as const) {
  t.test(`a service restarts a server ${name} and that was killed`, async (t) => {
    const dataDir = await preparedDirectory(t)
    if (adopted) {
      const { child, exit } = await serve(t, dataDir)
      child.kill('SIGKILL')
      await exit
    }
    const service = await serve(t, dataDir, more)
    const token = await createToken(service)
    const pid = await postmasterPid(dataDir)
    process.kill(pid, 'SIGKILL')
    await said(service, restarted)
    t.not(await postmasterPid(dataDir), pid)
    await until(async () => (await fetch(`${service.url}/readyz`)).status === 200)
    t.equal(await isActive(service, token), true)
    t.equal(await isActive(service, await createToken(service)), true)
    t.equal(service.output().split(restarted).length, 2, 'one line says so')
    service.child.kill('SIGTERM')
    t.match(await service.exit, { code: 0 })
    await t.rejects(postmasterPid(dataDir), { code: 'ENOENT' }, 'the new server was stopped too')
  })
}

t.test('a service whose server cannot be restarted ends with 69 and a sentence', async (t) => {
  const dataDir = await preparedDirectory(t)
  const service = await serve(t, dataDir)
  await breakServer(dataDir)
  t.match(await service.exit, { code: 69 })
  const said = service
    .output()
    .split('\n')
    .filter((line) => line.startsWith('counterfoil: '))
  t.match(said, [/^counterfoil: PostgreSQL did not start: .*max_connections/])
  await repairServer(dataDir)
  await start(t, dataDir)
})

t.test('SIGTERM while the server is being restarted ends the service with 0', async (t) => {
  const dataDir = await preparedDirectory(t)
  const service = await serve(t, dataDir)
  await breakServer(dataDir)
  const serverLog = () => readFile(join(dataDir, 'postgres.log'), 'utf8').catch(() => '')
  await until(async () => (await serverLog()).includes('max_connections'))
  service.child.kill('SIGTERM')
  t.match(await service.exit, { code: 0 })
  await repairServer(dataDir)
  await start(t, dataDir)
})

// The parts of the image that can be tested without a container engine.
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import manifest from '../../package.json' with { type: 'json' }
import { readConfig } from '../../src/config.ts'
import { read } from '../docs/markdown.ts'
import { newFolder } from '../docs/service.ts'

const dockerfile = read('Dockerfile')

t.test('the image has the Node that the tests run on', async (t) => {
  t.match(dockerfile, `ARG NODE_VERSION=${manifest.devDependencies.node}\n`)
})

t.test('the image and the benchmark start Node as `npm start` does', async (t) => {
  const flags = manifest.scripts.start.match(/--\S+/g) ?? []
  t.ok(flags.length > 0)
  t.match(
    dockerfile,
    `ENTRYPOINT ${JSON.stringify(['node', ...flags])
      .slice(0, -1)
      .replaceAll(',', ', ')}, `,
  )
  t.match(read('bench/service.ts'), `const flags = ['${flags.join("', '")}']`)
})

t.test('the health check distinguishes a healthy service from an unhealthy or missing one', async (t) => {
  const [, check = ''] = /^HEALTHCHECK .*\n\s*CMD (\[.*\])$/m.exec(dockerfile) ?? []
  const [, ...args] = JSON.parse(check)
  let status = 200
  const server = createServer(({ url }, response) =>
    response.writeHead(url === '/livez' ? status : 404).end(),
  )
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const verdict = async () =>
    (await once(spawn(process.execPath, args, { env: { PORT: `${port}` } }), 'exit'))[0]
  t.equal(await verdict(), 0)
  status = 503
  t.equal(await verdict(), 1)
  server.close()
  await once(server, 'close')
  t.equal(await verdict(), 1)
})

t.test('docker-compose.yml generates its secrets once, in the right format', async (t) => {
  const [, block = ''] = /^ +command:\n +- \|\n(.*?)\n\n/ms.exec(read('docker-compose.yml')) ?? []
  const folder = await newFolder(t)
  const script = block.replaceAll('$$', '$').replace('/run/secrets', folder)
  const make = async () => {
    await promisify(execFile)('/bin/sh', ['-euc', script])
    const names = await readdir(folder)
    return Promise.all(names.sort().map(async (name) => [name, await readFile(join(folder, name), 'utf8')]))
  }
  const made = await make()
  t.same(
    made.map(([name]) => name),
    ['admin-token', 'database-url', 'master-key', 'postgres-password'],
  )
  t.same(await make(), made)
  const config = readConfig({
    ADMIN_TOKEN_FILE: join(folder, 'admin-token'),
    DATABASE_URL_FILE: join(folder, 'database-url'),
    MASTER_KEY_FILE: join(folder, 'master-key'),
  })
  t.equal(config.masterKeys.length, 1)
  const password = made.find(([name]) => name === 'postgres-password')?.[1]
  t.equal(new URL(config.databaseUrl ?? '').password, password)
  t.match(password, /^[0-9a-f]{48}$/)
  t.match(config.adminToken?.reveal(), /^cf-admin-[0-9a-f]{48}$/)
})

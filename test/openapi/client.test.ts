import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import openapiTS, { astToString, type OpenAPI3 } from 'openapi-typescript'
import t from 'tap'
import { createWorld } from '../support/world.ts'

const run = promisify(execFile)
const modules = resolve(import.meta.dirname, '../../node_modules')
const tsc = join(modules, 'typescript7', 'lib', 'tsc.js')
const options = {
  compilerOptions: {
    strict: true,
    target: 'es2024',
    module: 'nodenext',
    types: ['node'],
    skipLibCheck: true,
    noEmit: true,
    allowImportingTsExtensions: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
  },
}

t.test('a client with types from openapi-typescript compiles and works', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'counterfoil-client-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const world = await createWorld(t)
  await world.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = world.app.server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`

  const document = (await (await fetch(`${url}/openapi.json`)).json()) as OpenAPI3
  await writeFile(join(folder, 'schema.ts'), astToString(await openapiTS(document)))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(options))
  await copyFile(join(import.meta.dirname, 'client.ts.txt'), join(folder, 'client.ts'))
  await symlink(modules, join(folder, 'node_modules'))

  await run(process.execPath, [tsc, '-p', folder], { env: {} }).catch((error) =>
    t.fail(error.stdout || error.stderr),
  )

  const env = { BASE_URL: url, TOKEN: world.admin }
  const { stdout } = await run(process.execPath, [join(folder, 'client.ts')], { env })
  t.same(JSON.parse(stdout), {
    created: 201,
    before: true,
    names: ['From a client'],
    stale: 'precondition_failed',
    revoked: 'revoked',
    after: false,
    deleted: 204,
    mistakes: 0,
  })
})

import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { blocks } from '../docs/markdown.ts'
import { checkTypes, execute, installClient } from '../support/client-package.ts'
import { startService } from '../support/verifier.ts'
import { createWorld } from '../support/world.ts'

t.test('the package and the lines in the docs compile, and work in another program', async (t) => {
  const world = await createWorld(t)
  const { url, token } = await startService(world)
  const { id, secret } = await world.issue({ lifetime_days: 3650, scopes: ['read'] })
  const folder = await installClient(t)
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const compilerOptions = { target: 'es2024', module: 'nodenext', types: ['node'] }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
  await copyFile(join(import.meta.dirname, 'api.ts.txt'), join(folder, 'api.ts'))
  const shown = blocks('docs/client-library.md', 'ts')
  for (const [i, block] of shown.entries()) await writeFile(join(folder, `shown-${i}.ts`), block)

  t.equal(shown.length, 3)
  await checkTypes(t, folder)
  const env = { COUNTERFOIL_URL: url, COUNTERFOIL_TOKEN: token, TOKEN: secret }
  t.same(JSON.parse(await execute(t, folder, ['api.ts'], env)), {
    verified: id,
    narrow: 'insufficient_scope',
    fastify: { status: 200, text: id },
    express: { status: 200, text: id },
  })
})

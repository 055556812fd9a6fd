import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { catalogue } from '../../src/shared/errors.ts'
import { createWorld } from '../support/world.ts'
import { blocks, root, table } from './markdown.ts'

t.test('docs/integrating.md lists exactly the errors', async (t) => {
  const expected = Object.entries(catalogue).map(([code, { status, title, advice }]) => [
    `${status}`,
    code,
    title,
    advice.replaceAll('`', ''),
  ])
  t.same(table('docs/integrating.md', '## Errors'), expected)
})

t.test('the programs for resource servers run unchanged', async (t) => {
  const world = await createWorld(t)
  const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
  const server = await world.issue({ type: 'management', scopes: ['tokens:introspect'] })
  const programs = blocks('docs/integrating.md', 'js')
  t.equal(programs.length, 2)
  for (const [scope, expected] of [
    ['read', 'come in\n'],
    ['write', 'stay out\n'],
  ] as const) {
    const { secret: TOKEN } = await world.issue({ scopes: [scope] })
    const env = { COUNTERFOIL_URL: url, SERVER_ID: server.id, SERVER_SECRET: server.secret, TOKEN }
    for (const program of programs) {
      const args = ['--input-type=module', '--eval', program]
      const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env })
      t.equal(stdout, expected, program)
    }
  }
})

import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import manifest from '../../package.json' with { type: 'json' }
import { root } from '../docs/markdown.ts'

t.test('the client library imports nothing from the service, and only its own dependencies', async (t) => {
  const files = globSync('client/*.ts', { cwd: root })
  const imported = files.flatMap((file) => {
    const source = readFileSync(join(root, file), 'utf8')
    return [...source.matchAll(/^(?:import|export|\}) .*?from '([^']+)'/gm)].map((match) => match[1] ?? '')
  })
  t.ok(imported.length > 20, 'there is something to check')
  const allowed = (name: string) =>
    /^\.\/[\w-]+\.ts$/.test(name) || name.startsWith('node:') || name in manifest.dependencies
  t.same(
    imported.filter((name) => !allowed(name)),
    [],
  )
})

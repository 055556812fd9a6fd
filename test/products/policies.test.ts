import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import { conflictsIn } from '../../src/policy/conflicts.ts'
import { platformPolicy, sourcesOf } from '../../src/policy/effective.ts'
import { documented, products } from '../support/product.ts'

const docs = await readFile(new URL('../../docs/policies.md', import.meta.url), 'utf8')

t.test(
  'docs/policies.md has a policy that holds together for every product, and a suite walks each',
  async (t) => {
    t.same(
      [...docs.matchAll(/^### (\S+)$/gm)].map((heading) => heading[1]),
      products,
    )
    const suites = await readdir(import.meta.dirname)
    for (const name of products) {
      const { policy, types } = await documented(name)
      t.ok(types.length > 0, name)
      t.same(
        conflictsIn(
          policy,
          policy,
          types.map((type: any) => type.name),
        ),
        [],
        name,
      )
      t.ok(suites.includes(`${name}.test.ts`), name)
    }
  },
)

t.test('docs/policies.md lists every member of a policy with what the platform has for it', async (t) => {
  const rows = [...docs.matchAll(/^\| `([a-z_.]+)` +\| `(.+?)` +\|/gm)].map((row) => [
    row[1],
    JSON.parse(row[2] ?? ''),
  ])
  const values = Object.keys(sourcesOf({})).map((name) => {
    const path = name.split('.')
    return [name, path.reduce((value: any, member) => value[member], platformPolicy)]
  })
  t.same(rows, values)
})

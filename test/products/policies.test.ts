import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import { platformPolicy, sourcesOf } from '../../src/policy/effective.ts'
import { fileOf, products } from '../support/product.ts'

const docs = await readFile(new URL('../../docs/policies.md', import.meta.url), 'utf8')

t.test('docs/products.md shows the file of every product, and a suite walks through each', async (t) => {
  const document = await readFile(new URL('../../docs/products.md', import.meta.url), 'utf8')
  const shown = [...document.matchAll(/^## (\S+)$.*?^```yaml\n(.*?)^```$/gms)]
  const files = await Promise.all(products.map(async (name) => [name, await readFile(fileOf(name), 'utf8')]))
  t.same(
    shown.map(([, name, file]) => [name, file]),
    files,
  )
  const suites = await readdir(import.meta.dirname)
  for (const name of products) t.ok(suites.includes(`${name}.test.ts`), name)
})

t.test('every statement of the references names a test that exists', async (t) => {
  const table = await readFile(new URL('README.md', import.meta.url), 'utf8')
  let suite = ''
  let statements = 0
  for (const line of table.split('\n')) {
    suite = /^## (.+)$/.exec(line)?.[1] ?? suite
    const [, shown] = /^\| [^|]+ \| ([^|]+) \|$/.exec(line) ?? []
    if (!shown || shown === 'Test' || /^-+$/.test(shown)) continue
    const [, file = `${suite}.test.ts`, title] = /^(?:(\.\.\S+): )?(.+)$/.exec(shown) ?? []
    const source = await readFile(new URL(file, import.meta.url), 'utf8')
    t.ok(source.includes(`'${title}'`), `${file}: ${title}`)
    statements++
  }
  t.ok(statements >= 110, `${statements} statements`)
})

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

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { read, root } from '../docs/markdown.ts'

const folder = join(root, 'docs/gateways')
const gateways = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())

t.test('every page shows exactly the files that the tests run', async (t) => {
  t.equal(gateways.length, 6)
  for (const { name } of gateways)
    for (const file of readdirSync(join(folder, name))) {
      const content = readFileSync(join(folder, name, file), 'utf8')
      t.ok(read(`docs/gateways/${name}.md`).includes(`\n${content}\`\`\`\n`), `${name}/${file}`)
    }
})

t.test('every page is in the index', async (t) => {
  const index = read('docs/gateways/README.md')
  for (const { name } of gateways) t.ok(index.includes(`](${name}.md)`), name)
})

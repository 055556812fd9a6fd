import t from 'tap'
import { Environment, secretVariables } from '../../src/config.ts'
import { table } from './markdown.ts'

const rows = table('docs/configuration.md')

t.test('docs/configuration.md lists exactly the variables, with their defaults', async (t) => {
  const expected = Object.entries(Environment.properties).flatMap(([name, schema]) => {
    const variable = [name, 'default' in schema ? String(schema.default) : '']
    const secret = secretVariables.some((secret) => secret === name)
    return secret ? [variable, [`${name}_FILE`, '']] : [variable]
  })
  t.same(
    rows.map(([name, preset]) => [name, preset]),
    expected,
  )
})

t.test('docs/configuration.md describes each variable like the schema', async (t) => {
  for (const [name, schema] of Object.entries(Environment.properties)) {
    const text = rows.find(([row]) => row === name)?.[2] ?? ''
    const description = 'description' in schema ? String(schema.description) : ''
    const words = description.replaceAll('`', '').replace(/[.;].*$/, '')
    t.ok(text.startsWith(words), `${name}: ${words}`)
  }
})

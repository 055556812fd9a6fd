import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fullFormats } from 'ajv-formats/dist/formats.js'
import { check } from 'recheck'
import t from 'tap'
import { type Expression, expressionsIn } from './expressions.ts'

const root = join(import.meta.dirname, '../..')

t.test('every regular expression takes linear time', async (t) => {
  const expressions = [...expressionsIn(), ...inDocument()]
  t.ok(expressions.length > 50, 'they are found')
  const distinct = Map.groupBy(expressions, ({ source, flags }) => `/${source}/${flags}`)
  for (const [text, [expression]] of distinct) {
    const { where, source, flags } = expression as Expression
    if (source === undefined) {
      t.fail(`${where} is put together of what only the running program knows: make it a constant`)
      continue
    }
    t.match(await judgement(source, flags), /^(safe|linear)$/, `${where} ${text}`)
  }
})

t.test('nonlinear expressions are found, however they are composed', async (t) => {
  const found = expressionsIn(['test/architecture/expressions-fixture.ts'])
  t.equal(found.length, 5)
  for (const { where, source = '', flags } of found)
    t.equal(await judgement(source, flags), 'polynomial', where)
})

/** Expressions that recheck can only try out are tried again: on a busy machine it takes a slow run for a proof. */
async function judgement(source: string, flags: string, attempts = 3): Promise<string> {
  const result = await check(source, flags, { timeout: 120_000 })
  const isTried = result.checker === 'fuzz' && result.status === 'vulnerable'
  if (isTried && attempts > 1) return judgement(source, flags, attempts - 1)
  return result.status === 'unknown' ? `unknown: ${result.error.kind}` : result.complexity.type
}

type Json = { [name: string]: Json } | Json[] | string | number | boolean | null

/** The expressions in the OpenAPI document, including those that modules build at run time. */
function inDocument(): Expression[] {
  const document = JSON.parse(readFileSync(join(root, 'openapi/openapi.json'), 'utf8'))
  const found: Expression[] = []
  const seen = new Set<Json>()
  const visit = (value: Json | undefined, path: string): void => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return
    seen.add(value)
    for (const [name, member] of Object.entries(value)) {
      const where = `${path}/${name}`
      if (typeof member !== 'string') visit(member, where)
      else if (name === 'pattern') found.push({ where, source: member, flags: 'u' })
      else if (name === 'format') found.push(...formatOf(member, where))
      else if (name === '$ref') {
        const component = member.split('/').at(-1) ?? ''
        visit(document.components.schemas[component], `#/components/schemas/${component}`)
      }
    }
  }
  for (const [path, operations] of Object.entries<Record<string, Record<string, Json>>>(document.paths)) {
    for (const [method, { parameters, requestBody }] of Object.entries(operations)) {
      visit(parameters, `#/paths/${path}/${method}`)
      visit(requestBody, `#/paths/${path}/${method}`)
    }
  }
  return found
}

/** Ajv's own expression for a format, if it has one. */
function formatOf(name: string, where: string): Expression[] {
  const format = (fullFormats as Record<string, unknown>)[name]
  return format instanceof RegExp ? [{ where, source: format.source, flags: format.flags }] : []
}

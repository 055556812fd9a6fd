import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { createWorld } from '../support/world.ts'

type Rule = { alert: string; expr: string; annotations: { summary: string; runbook: string } }

const world = await createWorld(t)
const root = join(import.meta.dirname, '../..')
const path = join(root, 'deploy/prometheus/alerts.yaml')
const rules: Rule[] = parse(readFileSync(path, 'utf8')).groups.flatMap(
  (group: { rules: Rule[] }) => group.rules,
)

t.test('every alert uses metrics that the service has', async (t) => {
  const { text } = await world.ask('GET', '/metrics')
  const served = new Set([...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name]) => name))
  t.ok(rules.length > 5)
  for (const { alert, expr } of rules) {
    const used = [...expr.matchAll(/\b(?:counterfoil|http)_\w+/g)].map(([name]) => name)
    t.ok(used.length > 0, alert)
    for (const name of used) t.ok(served.has(name.replace(/_(bucket|count|sum)$/, '')), `${alert}: ${name}`)
  }
})

t.test('every alert names a section that says what to do', async (t) => {
  for (const { alert, annotations } of rules) {
    const [file = '', anchor] = annotations.runbook.split('#')
    t.ok(existsSync(join(root, file)), `${alert}: ${file}`)
    const headings = [...readFileSync(join(root, file), 'utf8').matchAll(/^#+ (.*)$/gm)].map(
      ([, heading = '']) =>
        heading
          .toLowerCase()
          .replaceAll(/[^\w\- ]/g, '')
          .replaceAll(' ', '-'),
    )
    if (anchor) t.ok(headings.includes(anchor), `${alert}: ${anchor}`)
  }
})

const hasPromtool = (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, 'promtool')))
t.test(
  'promtool accepts the rules',
  { skip: !hasPromtool && 'promtool (Debian: prometheus) is missing' },
  async (t) => {
    t.match(
      execFileSync('promtool', ['check', 'rules', path], { encoding: 'utf8' }),
      `SUCCESS: ${rules.length} rules found`,
    )
  },
)

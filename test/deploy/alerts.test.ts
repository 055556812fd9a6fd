import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { read, root } from '../docs/markdown.ts'
import { createWorld } from '../support/world.ts'

type Rule = { alert: string; expr: string; annotations: { summary: string; runbook_url: string } }

type Panel = {
  id: number
  type: string
  title: string
  gridPos: { x: number; y: number; w: number; h: number }
  targets?: { refId: string; expr: string; datasource: { uid: string } }[]
}

const world = await createWorld(t)
const path = join(root, 'deploy/prometheus/alerts.yaml')
const rules: Rule[] = parse(readFileSync(path, 'utf8')).groups.flatMap(
  (group: { rules: Rule[] }) => group.rules,
)

const dashboard = JSON.parse(readFileSync(join(root, 'deploy/grafana/counterfoil.json'), 'utf8'))
const panels: Panel[] = dashboard.panels
/** The queries of the dashboard, with what Grafana puts in the place of its variables. */
const queries = panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({
    title,
    expr: expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.+'),
  })),
)
const { text } = await world.ask('GET', '/metrics')
const served = new Set([...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name = '']) => name))

/** The metrics that an expression names, without the suffixes of the series of a histogram. */
function metricsIn(expr: string): string[] {
  const names = [...expr.matchAll(/\b(?:counterfoil|http|process|nodejs)_\w+/g)].map(([name]) => name)
  return names.map((name) => (served.has(name) ? name : name.replace(/_(bucket|count|sum)$/, '')))
}

t.test('every alert and every panel uses metrics that the service has', async (t) => {
  t.ok(rules.length > 5)
  for (const { title, expr } of [...rules.map(({ alert: title, expr }) => ({ title, expr })), ...queries]) {
    const used = metricsIn(expr)
    t.ok(used.length > 0, title)
    for (const name of used) t.ok(served.has(name), `${title}: ${name}`)
  }
})

t.test('the dashboard shows every metric of Counterfoil', async (t) => {
  const shown = new Set(queries.flatMap(({ expr }) => metricsIn(expr)))
  for (const name of served) if (name.startsWith('counterfoil_')) t.ok(shown.has(name), name)
})

t.test(
  'the panels of the dashboard have ids and places of their own, and a data source to choose',
  async (t) => {
    t.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`),
    )
    t.equal(new Set(cells).size, cells.length, 'no panel covers another')
    for (const { title, type, targets, gridPos } of panels) {
      t.ok(gridPos.x + gridPos.w <= 24, title)
      if (type === 'row') continue
      const ids = targets?.map(({ refId }) => refId) ?? []
      t.ok(ids.length > 0 && new Set(ids).size === ids.length, title)
      for (const { datasource } of targets ?? []) t.equal(datasource.uid, '$datasource', title)
    }
  },
)

t.test('every alert has a runbook, which names it', async (t) => {
  for (const { alert, annotations } of rules) {
    const [file = '', anchor] = annotations.runbook_url.split('#')
    const [, ...sections] = read(file).split(/^#+ (?=.*$)/gm)
    const runbook = sections.find((section) => anchorOf(section.split('\n')[0] ?? '') === anchor)
    t.match(runbook, new RegExp(`^Alerts?: .*\`${alert}\``, 'm'), alert)
  }
})

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w\- ]/g, '')
    .replaceAll(' ', '-')
}

const hasPromtool = (process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, 'promtool')))
t.test(
  'promtool accepts the rules and the queries of the dashboard',
  { skip: !hasPromtool && 'promtool (Debian: prometheus) is missing' },
  async (t) => {
    t.match(
      execFileSync('promtool', ['check', 'rules', path], { encoding: 'utf8' }),
      `SUCCESS: ${rules.length} rules found`,
    )
    // As rules that record their results; JSON is YAML.
    const folder = await mkdtemp(join(tmpdir(), 'counterfoil-dashboard-'))
    t.teardown(() => rm(folder, { recursive: true }))
    const recorded = queries.map(({ expr }, index) => ({ record: `panel_${index}`, expr }))
    const file = join(folder, 'queries.yaml')
    await writeFile(file, JSON.stringify({ groups: [{ name: 'dashboard', rules: recorded }] }))
    t.match(
      execFileSync('promtool', ['check', 'rules', file], { encoding: 'utf8' }),
      `SUCCESS: ${queries.length} rules found`,
    )
  },
)

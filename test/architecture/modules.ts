import { globSync, readFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** One import of a module: one of our files by its path from the root, or a package by its name. */
export type Import = { from: string; to: string; typeOnly: boolean }

export const modules = globSync(['src/**/*.ts', 'migrations/*.ts'], { cwd: root }).sort()
export const imports = modules.flatMap(importsOf)

export function sourceOf(module: string): string {
  return readFileSync(join(root, module), 'utf8')
}

/** Without its comments. */
export function codeOf(module: string): string {
  return sourceOf(module).replace(/\/\*.*?\*\/|(?<=^|\s)\/\/.*?$/gms, '')
}

function importsOf(from: string): Import[] {
  const fixed = /^(?:import|export)\s(?<type>type\s)?(?:[^'"]*?\sfrom\s)?'(?<to>[^']+)'/gm
  const dynamic = /\bimport\('(?<to>[^']+)'\)/g
  const code = codeOf(from)
  return [...code.matchAll(fixed), ...code.matchAll(dynamic)].map(({ groups = {} }) => {
    const to = groups.to ?? ''
    return { from, to: to.startsWith('.') ? normalize(join(dirname(from), to)) : to, typeOnly: !!groups.type }
  })
}

/** From the outermost to the innermost: a module may import from its own layer and the layers after it. */
export const layers = [
  'process',
  'app',
  'routes',
  'schema',
  'http',
  'domain',
  'store',
  'db',
  'shared',
] as const

/** The layers of the diagram in ARCHITECTURE.md. */
export function documentedLayers(): string[] {
  const document = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
  const [diagram = ''] = /^```mermaid\nflowchart TD\n.*?^```/ms.exec(document) ?? []
  const arrows = [...diagram.matchAll(/(\w+)(?:\[[^\]]*\])? --> (\w+)/g)].map(([, from = '', to = '']) => [
    from,
    to,
  ])
  return arrows.flatMap(([from = '', to = ''], index) => {
    if (index > 0 && arrows[index - 1]?.[1] !== from) throw new Error(`the layers are no chain at ${from}`)
    return index === 0 ? [from, to] : [to]
  })
}

/** Groups of nodes that reach each other along the arrows. */
export function circlesIn(arrows: [from: string, to: string][]): string[][] {
  const nodes = [...new Set(arrows.flat())]
  const reached = new Map(nodes.map((node) => [node, reachableFrom(node, arrows)]))
  const circles = nodes.map((node) =>
    nodes.filter((other) => reached.get(node)?.has(other) && reached.get(other)?.has(node)),
  )
  return [...new Set(circles.filter(({ length }) => length > 0).map((circle) => circle.join(' ↔ ')))].map(
    (circle) => circle.split(' ↔ '),
  )
}

function reachableFrom(start: string, arrows: [from: string, to: string][]): Set<string> {
  const targets = Map.groupBy(arrows, ([from]) => from)
  const reached = new Set<string>()
  const waiting = [start]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    for (const [, to] of targets.get(node) ?? []) {
      if (reached.has(to)) continue
      reached.add(to)
      waiting.push(to)
    }
  }
  return reached
}

/** Every layer may import these, since they import nothing themselves. */
export const pure = /^src\/[\w-]+\/(secret|status|endpoint)\.ts$/

export function layerOf(module: string): (typeof layers)[number] {
  if (module === 'src/app.ts') return 'app'
  if (/^src\/((apply|import|restore)\/)?[^/]+$/.test(module)) return 'process'
  // It answers requests in place of the routes of /introspect.
  if (module === 'src/introspection/fast-path.ts') return 'routes'
  if (/^src\/(shared|access)\//.test(module) || pure.test(module)) return 'shared'
  if (/^(src\/db|src\/embedded-postgres|migrations)\//.test(module)) return 'db'
  if (/^src\/(http|authentication)\//.test(module)) return 'http'
  // A feature with several files of a kind distinguishes them by a prefix: `owner-store.ts`.
  const kind = /(?:^|-)(routes|schema|store)$/.exec(basename(module, '.ts'))?.[1]
  return (kind as 'routes' | 'schema' | 'store' | undefined) ?? 'domain'
}

const notFeatures = [
  'apply',
  'import',
  'restore',
  'http',
  'authentication',
  'db',
  'embedded-postgres',
  'access',
  'shared',
]

/** The folder of a feature; undefined for other folders. */
export function featureOf(module: string): string | undefined {
  const folder = /^src\/([^/]+)\//.exec(module)?.[1]
  return folder && notFeatures.includes(folder) ? undefined : folder
}

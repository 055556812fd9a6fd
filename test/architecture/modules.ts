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

/** Every layer may import these, since they import nothing themselves. */
export const pure = /^src\/[\w-]+\/(secret|status|endpoint|seconds|intern|use)\.ts$/
const shared = /^src\/(errors|version|preconditions|platform|deps|addresses|access\/\w+)\.ts$/
const process =
  /^src\/(server|main|shutdown|exit-codes|service|workers|prepare|exit|welcome|config|bootstrap|admin-token)\.ts$/

export function layerOf(module: string): (typeof layers)[number] {
  if (process.test(module)) return 'process'
  if (module === 'src/app.ts') return 'app'
  // It answers requests in place of the routes of /introspect.
  if (module === 'src/introspection/fast-path.ts') return 'routes'
  if (shared.test(module) || pure.test(module)) return 'shared'
  if (/^(src\/db|src\/embedded-postgres|migrations)\//.test(module)) return 'db'
  if (/^src\/(http|authentication)\//.test(module)) return 'http'
  // A feature with several files of a kind distinguishes them by a prefix: `owner-store.ts`.
  const kind = /(?:^|-)(routes|schema|store)$/.exec(basename(module, '.ts'))?.[1]
  return (kind as 'routes' | 'schema' | 'store' | undefined) ?? 'domain'
}

/** The folder of a feature; undefined for other folders. */
export function featureOf(module: string): string | undefined {
  const folder = /^src\/([^/]+)\//.exec(module)?.[1]
  return folder && ['http', 'authentication', 'db', 'embedded-postgres', 'access'].includes(folder)
    ? undefined
    : folder
}

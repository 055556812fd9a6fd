import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { extname, join, relative } from 'node:path'

/** The output of `npm run build`; see console/build.ts. */
const folder = join(
  import.meta.dirname,
  import.meta.filename.endsWith('.ts') ? '../../dist/console' : '../../console',
)

const types: Record<string, string> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
}

export type Asset = { type: string; identity: Buffer; br: Buffer; gzip: Buffer }

export type Assets = {
  /** Changes with any file, so browsers may cache files permanently. */
  version: string
  files: Map<string, Asset>
}

export type Page = { html: Buffer; etag: string; policy: string }

/** False in a clone that was started without `npm start` or `npm run build`. */
export const isBuilt = () => existsSync(join(folder, 'main.js'))

let loading: Promise<Assets> | undefined

/** All files of the console, read once for each process and kept in memory. */
export function loadAssets(): Promise<Assets> {
  loading ??= read().catch((error) => {
    loading = undefined
    throw error
  })
  return loading
}

async function read(): Promise<Assets> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.flatMap((entry) => {
    const path = relative(folder, join(entry.parentPath, entry.name)).replaceAll('\\', '/')
    return entry.isFile() && extname(path) in types ? path : []
  })
  const hash = createHash('sha256')
  const files = new Map<string, Asset>()
  for (const path of paths.sort()) {
    const file = join(folder, path)
    const [identity, br, gzip] = await Promise.all([
      readFile(file),
      readFile(`${file}.br`),
      readFile(`${file}.gz`),
    ])
    hash.update(path).update(identity)
    files.set(path, { type: types[extname(path)] ?? '', identity, br, gzip })
  }
  return { version: hash.digest('base64url').slice(0, 12), files }
}

/**
 * The one page of the console. Its content security policy allows its own scripts, styles and requests, and the import
 * map by its hash; nothing inline, no other host, and no text that becomes markup or script. The page says whether the
 * request had the cookie of a session, which scripts cannot see, so that the sign-in appears at once.
 */
export function pageOf({ version, files }: Assets, basePath: string, hasSession: boolean): Page {
  const root = `${basePath}/console/assets/${version}`
  const packages = {
    preact: 'vendor/preact.js',
    'preact/hooks': 'vendor/hooks.js',
    'preact/jsx-runtime': 'vendor/jsx-runtime.js',
    'openapi-fetch': 'vendor/openapi-fetch.js',
  }
  const imports = Object.fromEntries(
    Object.entries(packages).map(([name, path]) => [name, `${root}/${path}`]),
  )
  const map = JSON.stringify({ imports })
  const first = [...files.keys()].filter((path) => path.endsWith('.js') && !path.startsWith('screens/'))
  const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="same-origin">
<meta name="counterfoil-base" content="${basePath}">
${hasSession ? '<meta name="counterfoil-session">\n' : ''}<title>Counterfoil</title>
<link rel="icon" href="${root}/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="${root}/style.css">
<script type="importmap">${map}</script>
${first.map((path) => `<link rel="modulepreload" href="${root}/${path}">`).join('\n')}
<script type="module" src="${root}/main.js"></script>
</head>
<body><noscript>The console needs JavaScript. The <a href="${basePath}/docs/">API</a> does not.</noscript></body>
</html>
`
  const sha256 = (text: string) => createHash('sha256').update(text).digest('base64')
  const policy = [
    "default-src 'none'",
    `script-src 'self' 'sha256-${sha256(map)}'`,
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ')
  return { html: Buffer.from(html), etag: `"${sha256(html).slice(0, 16)}"`, policy }
}

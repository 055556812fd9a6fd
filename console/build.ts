// Builds the console into dist/console, unless that is newer than everything it is made of: `node console/build.ts`. With
// `types` it only generates the types of the API, for the type check.
import { execFile } from 'node:child_process'
import { existsSync, globSync, statSync } from 'node:fs'
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

const root = join(import.meta.dirname, '..')
const out = join(root, 'dist/console')
const types = join(root, 'console/app/openapi.d.ts')
const document = join(root, 'openapi/openapi.json')
const compiler = join(root, 'node_modules/typescript7/bin/tsc')
const run = promisify(execFile)
const compress = { br: promisify(brotliCompress), gz: promisify(gzip) }

/** The packages that the pages load, as modules that the import map names. */
const vendor = {
  'preact.js': 'preact/dist/preact.mjs',
  'hooks.js': 'preact/hooks/dist/hooks.mjs',
  'jsx-runtime.js': 'preact/jsx-runtime/dist/jsxRuntime.mjs',
  'openapi-fetch.js': 'openapi-fetch/dist/index.mjs',
}

export async function buildConsole(): Promise<void> {
  // Without the development dependencies, `npm start` serves the existing build, if any.
  if (!existsSync(compiler)) return
  const sources = globSync(['console/**/*.{ts,tsx,css,svg,json}', 'package-lock.json'], { cwd: root })
  const newest = Math.max(...[document, ...sources.map((file) => join(root, file))].map(modifiedAt))
  const stamp = join(out, 'main.js')
  if (existsSync(stamp) && modifiedAt(stamp) > newest) return
  await rm(out, { recursive: true, force: true })
  // `npm run typecheck` checks the types.
  await run(process.execPath, [compiler, '-p', 'console', '--noCheck'], { cwd: root }).catch(({ stdout }) => {
    throw new Error(`The console does not compile.\n${stdout}`)
  })
  await mkdir(join(out, 'vendor'), { recursive: true })
  for (const [name, path] of Object.entries(vendor)) {
    // Without the link to a source map that is not served.
    const code = await readFile(join(root, 'node_modules', path), 'utf8')
    await writeFile(join(out, 'vendor', name), code.replace(/\n\/\/# sourceMappingURL=.*\s*$/, '\n'))
  }
  for (const name of ['preact', 'openapi-fetch'])
    await copyFile(join(root, 'node_modules', name, 'LICENSE'), join(out, 'vendor', `${name}.LICENSE`))
  for (const name of ['style.css', 'icon.svg']) await copyFile(join(root, 'console', name), join(out, name))
  await Promise.all(globSync('**/*.{js,css,svg}', { cwd: out }).map((name) => precompress(join(out, name))))
}

async function precompress(path: string): Promise<void> {
  const content = await readFile(path)
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length }
  await writeFile(`${path}.br`, await compress.br(content, { params }))
  await writeFile(`${path}.gz`, await compress.gz(content, { level: 9 }))
}

async function generateTypes(): Promise<void> {
  if (existsSync(types) && modifiedAt(types) > modifiedAt(document)) return
  const cli = 'node_modules/openapi-typescript/bin/cli.js'
  await run(process.execPath, [cli, document, '--output', types], { cwd: root })
}

function modifiedAt(path: string): number {
  return existsSync(path) ? statSync(path).mtimeMs : 0
}

if (import.meta.main) {
  if (process.argv[2] === 'types') await generateTypes()
  else await buildConsole()
}

import { spawnSync } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import manifest from '../../package.json' with { type: 'json' }
import { curlBlocks, root } from '../docs/markdown.ts'
import { newFolder, startService } from '../docs/service.ts'
import { installPackage, run } from './install.ts'

const { folder, files } = await installPackage(t)
const program = join(folder, 'node_modules/.bin/counterfoil')
const counterfoil = (...args: string[]) => run(folder, program, ...args)

t.test('the package contains exactly the program and its documentation', async (t) => {
  const kinds = new Set(files.map((file) => file.replace(/(?<=\/).*/, '')))
  const documents = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']
  t.same([...kinds].sort(), ['bin/', 'dist/', 'docs/', 'openapi/', ...documents].sort())
  t.same(
    files.filter(
      (file) =>
        file.startsWith('dist/') &&
        !/^dist\/((src|migrations)\/.+\.js|client\/.+\.(js|d\.ts)|package\.json)$/.test(file) &&
        !/^dist\/console\/(.+\.(js|css|svg)(\.br|\.gz)?|vendor\/.+\.LICENSE)$/.test(file),
    ),
    [],
  )
})

t.test('only the client library is exported', async (t) => {
  const script = `
    const names = async (name) => Object.keys(await import(name)).sort().join()
    console.log(await names('counterfoil/client'), await names('counterfoil/fastify'), await names('counterfoil/express'))
    await import('counterfoil/dist/src/app.js').catch(({ code }) => console.log(code))`
  const printed = await run(folder, 'node', '--input-type=module', '--eval', script)
  t.equal(
    printed,
    'VerificationError,createVerifier default createAuthenticate\nERR_PACKAGE_PATH_NOT_EXPORTED\n',
  )
})

t.test('npx counterfoil prints its version, and the document of its routes', async (t) => {
  const ownCache = ['env', '-u', 'NODE_COMPILE_CACHE']
  t.equal(await run(folder, ...ownCache, 'npx', 'counterfoil', '--version'), `${manifest.version}\n`)
  const caches = await readdir(join(folder, 'node_modules/counterfoil/dist/.compile-cache'))
  t.equal(caches.length, 1, 'compiled code for the next start is in the folder of the program')
  t.equal(await counterfoil('openapi'), await readFile(join(root, 'openapi/openapi.json'), 'utf8'))
})

t.test('it migrates the embedded database, then runs on it as the README says', async (t) => {
  t.match(await counterfoil('migrate'), /^Applied 0001-foundation/)
  const service = await startService(t, [program], folder)
  const output = await service.paste('sh', curlBlocks('README.md').join('\n'))
  t.match(output, /\{"active":true,.*\{"active":false\}/s)
  t.equal(await service.stop(), 0)
})

t.test('under a Node that is too old it ends with one sentence', async (t) => {
  const guard = await readFile(join(root, 'bin/counterfoil.js'), 'utf8')
  const elsewhere = await newFolder(t)
  for (const version of ['20.20.2', '22.21.9']) {
    const old = `Object.defineProperty(process.versions, 'node', { value: '${version}' })\n${guard.replace(/^#!.*/, '')}`
    const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', old], {
      cwd: elsewhere,
      encoding: 'utf8',
    })
    t.equal(status, 69)
    t.equal(stderr, `counterfoil: Node.js 22.22 or newer is needed; this is ${version}.\n`)
  }
  t.equal(manifest.engines.node, '>=22.22')
})

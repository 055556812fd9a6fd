// The rules of ARCHITECTURE.md. Imports of types count: a reader of a module has to know those modules too.
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import {
  circlesIn,
  codeOf,
  documentedLayers,
  featureOf,
  type Import,
  imports,
  layerOf,
  layers,
  modules,
  pure,
} from './modules.ts'

const between = imports.filter(({ to }) => modules.includes(to))
const say = ({ from, to }: Import) => `${from} imports ${to}`
/** The folder of `src/` that a module is in, with the folders inside it. */
const roomOf = (module: string) => dirname(module).split('/', 2).join('/')
const depth = (module: string) => layers.indexOf(layerOf(module))

t.test('the layers are those of the diagram in ARCHITECTURE.md, in its order', async (t) => {
  t.same(documentedLayers(), layers)
})

t.test('no module imports one of a layer above its own', async (t) => {
  t.ok(between.length > 500, 'there is something to check')
  t.ok(
    between.some(({ typeOnly }) => typeOnly),
    'imports of types are checked too',
  )
  t.same(between.filter(({ from, to }) => depth(to) < depth(from)).map(say), [])
})

t.test('a cycle of any length is found', async (t) => {
  t.same(
    circlesIn([
      ['a', 'b'],
      ['b', 'c'],
      ['c', 'a'],
      ['c', 'd'],
      ['d', 'e'],
    ]),
    [['a', 'b', 'c']],
  )
})

t.test('there are no import cycles', async (t) => {
  t.same(circlesIn(between.map(({ from, to }) => [from, to])), [])
})

t.test('there are no cycles between folders', async (t) => {
  const arrows = between.map(({ from, to }): [string, string] => [roomOf(from), roomOf(to)])
  t.same(circlesIn(arrows.filter(([from, to]) => from !== to)), [])
})

t.test('a feature uses another only through its domain files', async (t) => {
  const intrusions = between.filter(({ from, to }) => {
    const [user, used] = [featureOf(from), featureOf(to)]
    const foreign = used !== undefined && used !== user && !['process', 'app'].includes(layerOf(from))
    return foreign && !['domain', 'shared'].includes(layerOf(to))
  })
  t.same(intrusions.map(say), [])
})

t.test('routes call the domain, not stores', async (t) => {
  const reaching = between.filter(
    ({ from, to }) => ['routes', 'http'].includes(layerOf(from)) && layerOf(to) === 'store',
  )
  t.same(reaching.map(say), [])
})

t.test('only app, http and routes import Fastify', async (t) => {
  const users = imports.filter(({ to }) => /^@?fastify(\/|$)/.test(to)).map(({ from }) => from)
  t.same(
    users.filter((module) => !['app', 'http', 'routes'].includes(layerOf(module))),
    [],
  )
})

t.test('only db, stores and migrations build queries', async (t) => {
  const building = /\.(selectFrom|insertInto|updateTable|deleteFrom|mergeInto)\(|\bsql(<[^`]*>)?`/
  for (const module of modules.filter((module) => !['db', 'store'].includes(layerOf(module)))) {
    t.notMatch(codeOf(module), building, module)
    t.notOk(
      imports.some(({ from, to }) => from === module && /^(kysely|pg)(\/|$)/.test(to)),
      module,
    )
  }
})

t.test('pure modules import only Node and jose', async (t) => {
  const own = imports.filter(({ from, to }) => pure.test(from) && !/^(node:|jose$)/.test(to))
  t.same(own.map(say), [])
})

t.test('only server.ts and main.ts use process', async (t) => {
  const touching = modules.filter((module) => /(?<!\.)\bprocess\.\w|node:process/.test(codeOf(module)))
  t.same(touching, ['src/main.ts', 'src/server.ts'])
})

t.test('the application is composed in one place, for the service and the tests', async (t) => {
  const root = join(import.meta.dirname, '../..')
  const tests = globSync('test/**/*.ts', { cwd: root })
  const building = [...modules, ...tests].filter((file) =>
    /\bbuildApp\(\{/.test(readFileSync(join(root, file), 'utf8')),
  )
  t.same(
    building.filter((file) => file !== 'src/app.ts'),
    ['src/compose.ts'],
  )
})

t.test('changes of resources compare If-Match in one place', async (t) => {
  const comparing = modules.filter((module) => /(?<!function )\brejectStale\(/.test(codeOf(module)))
  t.same(comparing, [
    'src/audit/change-resource.ts',
    // Compares before it looks for breaches, which must not happen under the lock.
    'src/policy/policy.ts',
    // Compares before it revokes the tokens of a deleted user of the new name.
    'src/scim/users.ts',
    // Checks the caller and the rules under the locks of a rotation first.
    'src/tokens/rotate/rotate.ts',
  ])
})

t.test('there are no barrel files', async (t) => {
  const barrels = modules.filter((module) => /^export\s[^;=(]*?\sfrom\s'/m.test(codeOf(module)))
  t.same(barrels, [])
})

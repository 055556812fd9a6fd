// The rules of ARCHITECTURE.md.
import t from 'tap'
import { codeOf, featureOf, type Import, imports, layerOf, layers, modules, pure } from './modules.ts'

const between = imports.filter(({ to }) => modules.includes(to))
const values = between.filter(({ typeOnly }) => !typeOnly)
const say = ({ from, to }: Import) => `${from} imports ${to}`
const depth = (module: string) => layers.indexOf(layerOf(module))

t.test('server → app → routes → domain → store → db, and never back', async (t) => {
  t.ok(values.length > 100, 'there is something to check')
  t.same(values.filter(({ from, to }) => depth(to) < depth(from)).map(say), [])
})

t.test('no module imports itself by way of others', async (t) => {
  let left = values
  for (let before = Number.POSITIVE_INFINITY; left.length < before; ) {
    before = left.length
    const importers = new Set(left.map(({ from }) => from))
    left = left.filter(({ to }) => importers.has(to))
  }
  t.same(left.map(say), [])
})

t.test('a feature uses another only through its domain', async (t) => {
  const intrusions = between.filter(({ from, to }) => {
    const [user, used] = [featureOf(from), featureOf(to)]
    const foreign = used !== undefined && used !== user && layerOf(from) !== 'app'
    return foreign && !['domain', 'shared'].includes(layerOf(to))
  })
  t.same(intrusions.map(say), [])
})

t.test('routes and what they share ask the domain, not stores', async (t) => {
  const reaching = values.filter(
    ({ from, to }) => ['routes', 'http'].includes(layerOf(from)) && layerOf(to) === 'store',
  )
  t.same(reaching.map(say), [])
})

t.test('Fastify is known to app, http and routes only', async (t) => {
  const users = imports.filter(({ to }) => /^@?fastify(\/|$)/.test(to)).map(({ from }) => from)
  t.same(
    users.filter((module) => !['app', 'http', 'routes'].includes(layerOf(module))),
    [],
  )
})

t.test('queries are built in db, stores and migrations only', async (t) => {
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

t.test('the process is touched in server.ts and main.ts only', async (t) => {
  const touching = modules.filter((module) => /(?<!\.)\bprocess\.\w|node:process/.test(codeOf(module)))
  t.same(touching, ['src/main.ts', 'src/server.ts'])
})

t.test('there are no barrels', async (t) => {
  const barrels = modules.filter((module) => /^export\s[^;=(]*?\sfrom\s'/m.test(codeOf(module)))
  t.same(barrels, [])
})

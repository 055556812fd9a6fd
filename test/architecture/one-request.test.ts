import { readFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { until } from '../support/until.ts'
import { createWorld } from '../support/world.ts'

const root = join(import.meta.dirname, '../..')
const [, section = ''] =
  /^## One request\n(.*?)^## /ms.exec(readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')) ?? []
const [creating = [], introspecting = []] = section
  .split('POST /introspect')
  .map((part) => [...part.matchAll(/^\d+\. `(src\/\S+\.ts)`$/gm)].map(([, file = '']) => file))

// Requests that are logged one by one take the ordinary path.
const held = Promise.withResolvers<void>()
const world = await createWorld(t, { logLevel: 'warn', hot: { onLease: (holds) => holds && held.resolve() } })
const token = await world.issue()
await world.app.listen({ host: '127.0.0.1', port: 0 })
const { port } = world.app.server.address() as AddressInfo
const session = new Session()
session.connect()
await session.post('Profiler.enable')
await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false })
t.teardown(async () => {
  await session.post('Profiler.stopPreciseCoverage')
  session.disconnect()
})

/** The files of `src/` of which a function ran. */
async function filesRunBy(work: () => Promise<unknown>): Promise<Set<string>> {
  await session.post('Profiler.takePreciseCoverage')
  await work()
  const { result } = await session.post('Profiler.takePreciseCoverage')
  const ran = result.filter(({ functions }) =>
    functions.some(({ functionName, ranges }) => functionName !== '' && (ranges[0]?.count ?? 0) > 0),
  )
  return new Set(ran.map(({ url }) => url.replace(/^.*\/(?=src\/)/, '')))
}

t.test('a token is created by the files that ARCHITECTURE.md lists, twenty at most', async (t) => {
  const ran = await filesRunBy(() => world.issue())
  t.ok(creating.length > 0 && creating.length <= 20, `${creating.length} files`)
  t.same(
    creating.filter((file) => !ran.has(file)),
    [],
    'every listed file takes part',
  )
  const own = [...ran].filter((file) => file.startsWith('src/tokens/'))
  t.same(
    own.filter((file) => !creating.includes(file)),
    [],
    'no other file of src/tokens/ takes part',
  )
})

t.test('an introspection from memory takes the files that ARCHITECTURE.md lists, ten at most', async (t) => {
  const introspect = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/introspect`, {
      method: 'POST',
      headers: { authorization: `Bearer ${world.admin}` },
      body: new URLSearchParams({ token: token.secret }),
    })
    return response.json()
  }
  await held.promise
  t.match(await introspect(), { active: true })
  // On a busy machine the lease may be lost in between.
  const ran = await until(async () => {
    const before = world.credentials.lookups()
    const files = await filesRunBy(introspect)
    return world.credentials.lookups() === before ? files : undefined
  })
  t.ok(introspecting.length > 0 && introspecting.length <= 10, `${introspecting.length} files`)
  t.same(
    introspecting.filter((file) => !ran.has(file)),
    [],
    'every listed file takes part',
  )
})

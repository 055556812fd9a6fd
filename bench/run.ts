// Measures the hot path against its ceilings and its peers, and prints one table. The README has the details.
import { cores, pinning } from './cores.ts'
import { createFixtures, type Fixtures } from './fixtures.ts'
import { withinLimits } from './limits.ts'
import { type Generator, startGenerator, WrongAnswers } from './load/load.ts'
import { measureChurn } from './measure/churn.ts'
import { measureClientCut, measureClientLag } from './measure/client.ts'
import { measureColdStart } from './measure/cold-start.ts'
import { measureConsole } from './measure/console.ts'
import { measureCuts, tokensForCuts } from './measure/cut.ts'
import { measureImport } from './measure/import.ts'
import { measureLag } from './measure/lag.ts'
import { measureManagement } from './measure/management.ts'
import { measureMemory } from './measure/memory.ts'
import { startProxy } from './measure/proxy.ts'
import { measureRotation } from './measure/rotation.ts'
import { rotate } from './measure/throughput.ts'
import { readOptions } from './options.ts'
import { progress } from './progress.ts'
import {
  churnRow,
  clientRows,
  consoleRows,
  cutRows,
  importRows,
  lagRows,
  memoryRows,
  rotationRows,
  throughputRows,
} from './rows.ts'
import { measureScale } from './scale/scale.ts'
import { addTokens } from './seed.ts'
import { failed, markdown, type Row } from './table.ts'
import { counterfoil, starters, type Target } from './targets/targets.ts'

type Part = (fixtures: Fixtures, generator: Generator) => Promise<Row[]>

/** The measurements in order. `--only` takes their names; the rotations have letters instead. */
const parts: [string, Part][] = [
  ['rotation', rotation],
  ['writes', churn],
  ['writes', management],
  ['rotate', secretRotation],
  ['lag', lag],
  ['cut', cut],
  ['client', client],
  ['rotation', manyTokens],
  ['memory', memory],
  ['import', importing],
  ['start', start],
  ['console', scrolling],
]

const { plan, quick, wants, sizes } = readOptions(process.argv.slice(2))

await (sizes ? measureScale(sizes) : withinLimits(comparePeers))

async function comparePeers(): Promise<void> {
  const fixtures = await createFixtures(plan)
  const generator = startGenerator()
  const rows: Row[] = []
  for (const [name, part] of parts) {
    if (name === 'rotation' || wants(name)) rows.push(...(await attempt(part, fixtures, generator)))
  }
  const versions = `Node ${process.version}, PostgreSQL ${fixtures.server.version}`
  const date = new Date().toISOString().slice(0, 10)
  console.log(`${date}. ${versions}; ${pinning}${quick ? '; --quick' : ''}.\n\n${markdown(rows)}`)
  if (rows.some(failed)) process.exitCode = 1
}

/** A part that fails becomes a row that does not hold; wrong answers end the whole run. */
async function attempt(part: Part, fixtures: Fixtures, generator: Generator): Promise<Row[]> {
  try {
    return await part(fixtures, generator)
  } catch (error) {
    if (error instanceof WrongAnswers) throw error
    return [{ what: part.name, value: undefined, note: (error as Error).message.slice(0, 200) }]
  }
}

async function rotation(fixtures: Fixtures, generator: Generator): Promise<Row[]> {
  return throughputOf((key) => key !== 'h' && wants(key), fixtures, generator)
}

/** Last: with so many tokens used, the service is still writing their uses to the database a minute later. */
async function manyTokens(fixtures: Fixtures, generator: Generator): Promise<Row[]> {
  return throughputOf((key) => wants('h') && (key === 'f' || key === 'h'), fixtures, generator)
}

/** Measures these targets in rotation, with all of them running. */
async function throughputOf(
  takesPart: (key: string) => boolean,
  fixtures: Fixtures,
  generator: Generator,
): Promise<Row[]> {
  const targets = new Map<string, Target>()
  for (const [key, startTarget] of Object.entries(starters)) {
    if (!takesPart(key)) continue
    progress(`starting (${key})`)
    targets.set(key, await startTarget(fixtures))
  }
  if (targets.size === 0) return []
  progress('rotating through the targets')
  const speeds = await whileRunning([...targets.values()], () => rotate(generator, targets, plan))
  return throughputRows(speeds)
}

async function churn(fixtures: Fixtures, generator: Generator): Promise<Row[]> {
  progress('introspecting while tokens are created and revoked')
  const target = await counterfoil(fixtures.small, {})
  return whileRunning([target], async () => [churnRow(await measureChurn(target, fixtures, generator))])
}

async function management({ small }: Fixtures, generator: Generator): Promise<Row[]> {
  progress('creating, listing and revoking')
  const target = await counterfoil(small, {})
  const { create, list, revoke } = await whileRunning([target], () =>
    measureManagement(target, small.seeded, generator, plan),
  )
  return [
    { what: 'creates a second, to cached introspections', value: create },
    { what: 'lists of 50 tokens a second, to cached introspections', value: list },
    { what: 'revocations a second, to cached introspections', value: revoke },
  ]
}

async function secretRotation({ small, server }: Fixtures): Promise<Row[]> {
  progress('creating tokens and rotating them')
  const target = await counterfoil(small, {})
  return whileRunning([target], async () =>
    rotationRows(await measureRotation(target, { seeded: small.seeded, server }, plan)),
  )
}

async function lag({ small }: Fixtures, generator: Generator): Promise<Row[]> {
  progress('revoking on one instance, watching the other')
  const one = await counterfoil(small, {})
  const other = await counterfoil(small, {}, cores.twoServers)
  const generators = [generator, startGenerator()] as const
  return whileRunning([one, other], async () => {
    const tokens = await addTokens(small.seeded, plan.revocations)
    return lagRows(await measureLag([one, other], generators, small.seeded, tokens, plan))
  })
}

async function cut({ small }: Fixtures): Promise<Row[]> {
  progress('cutting the LISTEN connection')
  const { seeded } = small
  const proxy = await startProxy(seeded.url)
  const one = await counterfoil(small, {})
  const other = await counterfoil({ ...small, seeded: { ...seeded, url: proxy.url } }, {}, cores.twoServers)
  return whileRunning([one, other], async () => {
    const tokens = await addTokens(seeded, tokensForCuts(plan.cutTrials))
    const ports = { one: one.port, other: other.port }
    return cutRows(await measureCuts(ports, proxy, seeded, tokens, plan.cutTrials), plan.cutTrials)
  })
}

async function client({ small }: Fixtures, generator: Generator): Promise<Row[]> {
  progress('revoking on one instance, verifying with the client library that follows the other')
  const one = await counterfoil(small, {})
  const other = await counterfoil(small, {}, cores.twoServers)
  const generators = [generator, startGenerator()] as const
  return whileRunning([one, other], async () => {
    const tokens = await addTokens(small.seeded, plan.clientRevocations)
    const lag = await measureClientLag([one, other], generators, small.seeded, tokens, plan)
    return clientRows(lag, await measureClientCut(other, small.seeded, await addTokens(small.seeded, 40)))
  })
}

async function memory({ large }: Fixtures, generator: Generator): Promise<Row[]> {
  const seeded = await large()
  progress('filling the cache')
  const target = await counterfoil(seeded, { CACHE_SIZE: String(plan.bigCache) })
  const measured = await whileRunning([target], () => measureMemory(target, generator, plan))
  return memoryRows(measured)
}

async function importing({ scratch }: Fixtures): Promise<Row[]> {
  progress(`importing ${plan.imports.toLocaleString('en')} tokens`)
  return importRows(await measureImport(scratch, plan))
}

async function start({ small, scratch }: Fixtures): Promise<Row[]> {
  progress('starting from cold')
  const { onDatabase, embedded } = await measureColdStart(small.seeded, scratch, plan.starts)
  return [
    { what: 'cold start to ready, DATABASE_URL', value: onDatabase, unit: 'ms' },
    { what: 'cold start to ready, embedded, making the database', value: embedded, unit: 'ms' },
  ]
}

async function scrolling({ server }: Fixtures): Promise<Row[]> {
  progress('scrolling in the console')
  return consoleRows(await measureConsole(server, plan))
}

/** Stops them afterwards, so that they do not disturb the next measurement. */
async function whileRunning<T>(targets: Target[], run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } finally {
    for (const target of targets) await target.stop()
  }
}

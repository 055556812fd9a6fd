// Measures the hot path against its ceilings and its peers, and prints one table. The README has the details.
import { acceptance } from './acceptance.ts'
import { cleanUp } from './cleanup.ts'
import { cores, pin, pinning } from './cores.ts'
import { type Ground, layGround } from './ground.ts'
import { type Generator, startGenerator, WrongAnswers } from './load/load.ts'
import { measureChurn } from './measure/churn.ts'
import { measureColdStart } from './measure/cold-start.ts'
import { measureCuts, tokensForCuts } from './measure/cut.ts'
import { measureLag } from './measure/lag.ts'
import { measureManagement } from './measure/management.ts'
import { measureMemory } from './measure/memory.ts'
import { startProxy } from './measure/proxy.ts'
import { rotate } from './measure/throughput.ts'
import { readOptions } from './options.ts'
import { progress } from './progress.ts'
import { churnRow, cutRows, lagRows, throughputRows } from './rows.ts'
import { addTokens } from './seed.ts'
import { failed, markdown, type Row } from './table.ts'
import { counterfoil, starters, type Target } from './targets/targets.ts'

type Part = (ground: Ground, generator: Generator) => Promise<Row[]>

/** What is measured after the rotation, by the name that `--only` takes. */
const parts: Record<string, Part> = { writes, lag, cut, memory, start }

const { plan, quick, wants } = readOptions(process.argv.slice(2))

await withinLimits(async () => {
  const ground = await layGround(plan)
  const generator = startGenerator()
  const rows = await throughput(ground, generator)
  for (const [name, part] of Object.entries(parts)) {
    if (wants(name)) rows.push(...(await part(ground, generator)))
  }
  const versions = `Node ${process.version}, PostgreSQL ${ground.server.version}`
  const date = new Date().toISOString().slice(0, 10)
  console.log(`${date}. ${versions}; ${pinning}${quick ? '; --quick' : ''}.\n\n${markdown(rows)}`)
  if (rows.some(failed)) process.exitCode = 1
})

async function throughput(ground: Ground, generator: Generator): Promise<Row[]> {
  const targets = new Map<string, Target>()
  for (const [key, startTarget] of Object.entries(starters)) {
    if (!wants(key)) continue
    progress(`starting (${key})`)
    targets.set(key, await startTarget(ground))
  }
  progress('rotating through the targets')
  const speeds = await rotate(generator, targets, plan)
  for (const target of targets.values()) await target.stop()
  return throughputRows(speeds)
}

async function writes({ small }: Ground, generator: Generator): Promise<Row[]> {
  progress('creating, listing and revoking')
  const target = await counterfoil(small, {})
  const churn = await measureChurn(target, small.seeded, generator, plan)
  const { create, list, revoke } = await measureManagement(target, small.seeded, generator, plan)
  await target.stop()
  return [
    churnRow(churn),
    { what: 'creates a second, to cached introspections', value: create },
    { what: 'lists of 50 tokens a second, to cached introspections', value: list },
    { what: 'revocations a second, to cached introspections', value: revoke },
  ]
}

async function lag({ small }: Ground, generator: Generator): Promise<Row[]> {
  progress('revoking on one instance, watching the other')
  const one = await counterfoil(small, {})
  const other = await counterfoil(small, {}, cores.twoServers)
  const tokens = await addTokens(small.seeded, plan.revocations)
  const generators = [generator, startGenerator()] as const
  const measured = await measureLag([one, other], generators, small.seeded, tokens, plan)
  await one.stop()
  await other.stop()
  return lagRows(measured)
}

async function cut({ small }: Ground): Promise<Row[]> {
  progress('cutting the LISTEN connection')
  const { seeded } = small
  const proxy = await startProxy(seeded.url)
  const one = await counterfoil(small, {})
  const other = await counterfoil({ ...small, seeded: { ...seeded, url: proxy.url } }, {}, cores.twoServers)
  const tokens = await addTokens(seeded, tokensForCuts(plan.cutTrials))
  const ports = { one: one.port, other: other.port }
  const measured = await measureCuts(ports, proxy, seeded, tokens, plan.cutTrials)
  await one.stop()
  await other.stop()
  return cutRows(measured, plan.cutTrials)
}

async function memory({ large }: Ground, generator: Generator): Promise<Row[]> {
  const place = await large()
  progress('filling the cache')
  const target = await counterfoil(place, { CACHE_SIZE: String(plan.bigCache) })
  const { peak, bytesPerToken, tokens } = await measureMemory(target, generator, plan)
  await target.stop()
  const what = `resident memory with ${tokens.toLocaleString('en')} cached tokens, under load`
  return [
    { what, value: peak, unit: 'MiB', bound: acceptance.memoryMiB },
    { what: 'resident memory by cached token', value: bytesPerToken, unit: 'bytes' },
  ]
}

async function start({ small, scratch }: Ground): Promise<Row[]> {
  progress('starting from cold')
  const { onDatabase, embedded } = await measureColdStart(small.seeded, scratch, plan.starts)
  return [
    { what: 'cold start to ready, DATABASE_URL', value: onDatabase, unit: 'ms' },
    { what: 'cold start to ready, embedded, making the database', value: embedded, unit: 'ms' },
  ]
}

/** However the run ends, and end it does, nothing of it stays. */
async function withinLimits(run: () => Promise<void>): Promise<void> {
  const limitMinutes = 15
  let givenUp = false
  const giveUp = (why: string) => {
    if (givenUp) return
    givenUp = true
    console.error(`The benchmark ends early: ${why}.`)
    cleanUp().finally(() => process.exit(1))
  }
  const limit = setTimeout(giveUp, limitMinutes * 60_000, `it took more than ${limitMinutes} minutes`)
  // A terminal and npm may both send it: whatever comes second must not cut the cleaning up short.
  process.on('SIGINT', giveUp)
  process.on('SIGTERM', giveUp)
  process.on('uncaughtException', (error) => giveUp(error.message))
  pin(cores.generator, process.pid)
  try {
    await run()
  } catch (error) {
    // What breaks because of that is no news.
    if (!givenUp) console.error(error instanceof WrongAnswers ? error.message : error)
    process.exitCode = 1
  } finally {
    clearTimeout(limit)
    await cleanUp()
  }
}

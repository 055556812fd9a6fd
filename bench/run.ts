// Measures the hot path against its ceilings and its peers, and prints one table. The README has the details.
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { acceptance } from './acceptance.ts'
import { atEnd, cleanUp } from './cleanup.ts'
import { cores, pinning } from './cores.ts'
import { openServer, type Server } from './database.ts'
import { startGenerator } from './load/load.ts'
import { measureChurn } from './measure/churn.ts'
import { measureColdStart } from './measure/cold-start.ts'
import { measureCuts, tokensPerCut } from './measure/cut.ts'
import { measureLag } from './measure/lag.ts'
import { measureManagement } from './measure/management.ts'
import { measureMemory } from './measure/memory.ts'
import { startProxy } from './measure/proxy.ts'
import { rotate } from './measure/throughput.ts'
import { readOptions } from './options.ts'
import { writePopulation } from './population.ts'
import { churnRow, cutRows, lagRows, throughputRows } from './rows.ts'
import { addTokens, prepare } from './seed.ts'
import { failed, markdown, type Row } from './table.ts'
import { counterfoil, type Ground, starters, type Target } from './targets/targets.ts'

const { plan, quick, wants } = readOptions(process.argv.slice(2))
const limitMs = 15 * 60_000
const start = performance.now()

process.once('SIGINT', () => cleanUp().finally(() => process.exit(130)))
process.once('SIGTERM', () => cleanUp().finally(() => process.exit(143)))
const limit = setTimeout(() => {
  console.error(`The benchmark is given up after ${limitMs / 60_000} minutes.`)
  cleanUp().finally(() => process.exit(1))
}, limitMs)

try {
  const scratch = newScratch()
  const server = await openServer(scratch)
  const rows = await measure(await layGround(scratch, server))
  const conditions = `Node ${process.version}, PostgreSQL ${server.version}; ${pinning}${quick ? '; --quick' : ''}.`
  console.log(`${new Date().toISOString().slice(0, 10)}. ${conditions}\n\n${markdown(rows)}`)
  if (rows.some(failed)) process.exitCode = 1
} catch (error) {
  console.error(error)
  process.exitCode = 1
} finally {
  clearTimeout(limit)
  await cleanUp()
}

async function measure(ground: Ground): Promise<Row[]> {
  const rows: Row[] = []
  const generator = startGenerator()
  const { seeded } = ground.small

  const targets = new Map<string, Target>()
  for (const [key, start] of Object.entries(starters)) {
    if (!wants(key)) continue
    progress(`starting (${key})`)
    targets.set(key, await start(ground))
  }
  progress('rotating through the targets')
  rows.push(...throughputRows(await rotate(generator, targets, plan)))
  for (const target of targets.values()) await target.stop()

  if (wants('writes')) {
    progress('creating, listing and revoking')
    const target = await counterfoil(ground.small, {})
    rows.push(churnRow(await measureChurn(target, seeded, generator, plan)))
    const { create, list, revoke } = await measureManagement(target, seeded, generator, plan)
    rows.push({ what: 'creates a second, to cached introspections', value: create })
    rows.push({ what: 'lists of 50 tokens a second, to cached introspections', value: list })
    rows.push({ what: 'revocations a second, to cached introspections', value: revoke })
    await target.stop()
  }

  if (wants('lag') || wants('cut')) {
    const proxy = await startProxy(seeded.url)
    const one = await counterfoil(ground.small, {})
    const other = await counterfoil(
      { ...ground.small, seeded: { ...seeded, url: proxy.url } },
      {},
      cores.twoServers,
    )
    if (wants('lag')) {
      progress('revoking on one instance, watching the other')
      const tokens = await addTokens(seeded, plan.revocations)
      const generators = [generator, startGenerator()] as const
      rows.push(...lagRows(await measureLag([one, other], generators, seeded, tokens, plan)))
    }
    if (wants('cut')) {
      progress('cutting the LISTEN connection')
      const tokens = await addTokens(seeded, tokensPerCut * plan.cutTrials * 3)
      const ports = { one: one.port, other: other.port }
      rows.push(...cutRows(await measureCuts(ports, proxy, seeded, tokens, plan.cutTrials), plan.cutTrials))
    }
    await one.stop()
    await other.stop()
  }

  if (wants('memory')) {
    progress('filling the cache')
    const target = await counterfoil(await ground.large(), { CACHE_SIZE: String(plan.bigCache) })
    const { peak, bytesPerToken, tokens } = await measureMemory(target, generator, plan)
    const what = `resident memory with ${tokens.toLocaleString('en')} cached tokens, under load`
    rows.push({ what, value: peak, unit: 'MiB', bound: acceptance.memoryMiB })
    rows.push({ what: 'resident memory by cached token', value: bytesPerToken, unit: 'bytes' })
    await target.stop()
  }

  if (wants('start')) {
    progress('starting from cold')
    const { onDatabase, embedded } = await measureColdStart(seeded, ground.scratch, plan.starts)
    rows.push({ what: 'cold start to ready, DATABASE_URL', value: onDatabase, unit: 'ms' })
    rows.push({ what: 'cold start to ready, embedded, making the database', value: embedded, unit: 'ms' })
  }
  return rows
}

/** A database that most targets share, and one with very many tokens for those that need it. */
async function layGround(scratch: string, server: Server): Promise<Ground> {
  const fill = async (name: string, count: number) => {
    progress(`adding ${count.toLocaleString('en')} tokens`)
    const seeded = await prepare(await server.createDatabase())
    const tokens = await addTokens(seeded, count)
    const secrets = tokens.map(({ secret }) => secret)
    return { seeded, population: writePopulation(join(scratch, name), secrets) }
  }
  let large: ReturnType<typeof fill> | undefined
  return {
    scratch,
    server,
    tokens: plan.tokens,
    bigCache: plan.bigCache,
    small: await fill('small', plan.tokens),
    large() {
      large ??= fill('large', plan.manyTokens)
      return large
    },
  }
}

function newScratch(): string {
  const scratch = mkdtempSync(join(tmpdir(), 'counterfoil-bench-'))
  // Where root runs the benchmark, PostgreSQL runs as another user and has to get through.
  chmodSync(scratch, 0o711)
  atEnd(() => rmSync(scratch, { recursive: true, force: true }))
  return scratch
}

function progress(what: string): void {
  console.error(`${((performance.now() - start) / 1000).toFixed(0).padStart(4)} s  ${what}`)
}

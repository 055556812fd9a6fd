import { cores } from '../cores.ts'
import { openServer } from '../database.ts'
import { newScratch } from '../fixtures.ts'
import { withinLimits } from '../limits.ts'
import { progress } from '../progress.ts'
import { startService } from '../service.ts'
import { type Filled, fill } from './fill.ts'
import { type Measured, measureLists, measureOperations } from './requests.ts'

/** The maximum time for every list, regardless of the number of tokens. */
const listMs = 50

type Result = Filled & { lists: Measured[]; operations: Measured[] }

/** Compares databases of different sizes, and prints what each request takes in each. */
export async function measureScale(sizes: number[]): Promise<void> {
  await withinLimits(
    async () => {
      const server = await openServer(newScratch())
      const results: Result[] = []
      for (const tokens of sizes) results.push(await measure(await server.createDatabase(), tokens))
      console.log(table(results))
      const last = results.at(-1)
      if (last?.lists.some(({ ms }) => ms > listMs)) process.exitCode = 1
    },
    15 * sizes.length + Math.ceil(Math.max(...sizes) / 100_000),
  )
}

async function measure(url: string, tokens: number): Promise<Result> {
  const filled = await fill(url, tokens)
  const service = await startService({ DATABASE_URL: url }, cores.server)
  const target = { service, seeded: filled.seeded, tokens }
  try {
    progress('reading every list')
    const lists = await measureLists(target)
    progress('reading and changing the organization')
    const operations = await measureOperations(target)
    operations.push({ what: 'start of the service', ms: service.startMs })
    return { ...filled, lists, operations }
  } finally {
    await service.stop()
  }
}

function table(results: Result[]): string {
  const head = ['What', ...results.map(({ tokens }) => tokens.toLocaleString('en')), 'Ratio', 'Holds', 'Note']
  const line = (of: (result: Result) => Measured[], index: number, bound?: number) => {
    const all = results.map((result) => of(result)[index] as Measured)
    const [first, last] = [all[0] as Measured, all.at(-1) as Measured]
    const holds = bound === undefined ? '' : last.ms <= bound ? 'yes' : '**no**'
    return [
      last.what,
      ...all.map(({ ms }) => `${ms.toFixed(1)} ms`),
      (last.ms / first.ms).toFixed(1),
      holds,
      last.note ?? '',
    ]
  }
  const rows = [
    ...(results[0]?.lists ?? []).map((_, i) => line(({ lists }) => lists, i, listMs)),
    ...(results[0]?.operations ?? []).map((_, i) => line(({ operations }) => operations, i)),
    ...bytesPerToken(results),
  ]
  const show = (cells: string[]) => `| ${cells.join(' | ')} |`
  return [
    show(head),
    show(['---', ...results.map(() => '---:'), '---:', '---', '---']),
    ...rows.map(show),
  ].join('\n')
}

function bytesPerToken(results: Result[]): string[][] {
  return (results[0]?.bytes ?? []).map(({ name }, i) => {
    const all = results.map(({ bytes, tokens }) => {
      const { heap = 0, index = 0 } = bytes[i] ?? {}
      return (heap + index) / tokens
    })
    const ratio = (all.at(-1) ?? 0) / (all[0] || 1)
    return [`bytes per token, ${name}`, ...all.map((bytes) => bytes.toFixed(0)), ratio.toFixed(1), '', '']
  })
}

import { acceptance, type Bound } from './acceptance.ts'
import type { measureChurn } from './measure/churn.ts'
import type { ClientCut, ClientLag } from './measure/client.ts'
import type { measureConsole } from './measure/console.ts'
import type { Staleness } from './measure/cut.ts'
import type { measureImport } from './measure/import.ts'
import type { Lag } from './measure/lag.ts'
import type { measureMemory } from './measure/memory.ts'
import type { measureRotation } from './measure/rotation.ts'
import { ratio, type Speeds } from './measure/throughput.ts'
import type { Row } from './table.ts'
import { names } from './targets/targets.ts'

type Comparison = { of: string; to: string; bounds?: Record<number, Bound> }

const comparisons: Comparison[] = [
  { of: 'f', to: 'b', bounds: acceptance.cachedToFastify },
  { of: 'g', to: 'c', bounds: acceptance.cacheOffToSelect },
  { of: 'f', to: 'd' },
  { of: 'f', to: 'e', bounds: { 128: acceptance.cachedToBetterAuth } },
  { of: 'h', to: 'f', bounds: { 128: acceptance.manyTokensToCached } },
  { of: 'i', to: 'f' },
  ...['a', 'c', 'd', 'e', 'g'].map((of) => ({ of, to: 'b' })),
]

/** If the core is less busy than this, the server was not the bottleneck. */
const busyEnough = 0.9

export function throughputRows(speeds: Speeds): Row[] {
  return comparisons.flatMap(({ of, to, bounds = {} }) =>
    [...(speeds.get(of) ?? [])].flatMap(([connections, one]) => {
      const other = speeds.get(to)?.get(connections)
      if (!other) return []
      const { median, least, greatest } = ratio(one.rounds, other.rounds)
      const idle = Object.entries({ [of]: one, [to]: other }).filter(([, { busy }]) => busy < busyEnough)
      const doubt = idle.map(([key]) => `; the server's core was not always busy in (${key})`).join('')
      const bound = bounds[connections]
      return {
        what: `(${of}) ${names[of]}, to (${to}) ${names[to]}, ${connections} connections`,
        value: median,
        note: `rounds ${least.toFixed(2)} to ${greatest.toFixed(2)}${doubt}`,
        ...(bound && { bound }),
      }
    }),
  )
}

export function churnRow({
  median,
  least,
  greatest,
  achieved,
}: Awaited<ReturnType<typeof measureChurn>>): Row {
  const tooSlow = achieved < 0.95
  return {
    what: 'introspection while 200 tokens a second are created and 200 revoked, to introspection alone',
    value: tooSlow ? undefined : median,
    bound: acceptance.churnToQuiet,
    note: tooSlow
      ? `only ${achieved.toFixed(2)} of the changes were made in time; ratio ${median.toFixed(2)}`
      : `rounds ${least.toFixed(2)} to ${greatest.toFixed(2)}`,
  }
}

export function rotationRows({ cpu, seconds }: Awaited<ReturnType<typeof measureRotation>>): Row[] {
  const row = (what: string, { median, least, greatest }: typeof cpu): Row => ({
    what: `${what} of a rotation, to that of a create`,
    value: Number.isNaN(median) ? undefined : median,
    note: `rounds ${least.toFixed(2)} to ${greatest.toFixed(2)}`,
  })
  return [row('processor time (service and database)', cpu), row('time (16 at a time)', seconds)]
}

export function lagRows({ p50, p99, max, revoked, planned, acceptedOnSame }: Lag): Row[] {
  const what = 'revocation seen by the other instance'
  const missing = revoked < planned ? `; there was no time for the other ${planned - revoked}` : ''
  const note = `of ${revoked} revocations under load${missing}`
  return [
    { what: `${what}, p99`, value: p99, unit: 'ms', bound: acceptance.lagP99Ms, note },
    { what: `${what}, max`, value: max, unit: 'ms', bound: acceptance.lagMaxMs, note },
    { what: `${what}, p50`, value: p50, unit: 'ms', note },
    {
      what: 'accepted after revocation was acknowledged, same instance',
      value: acceptedOnSame,
      bound: acceptance.acceptedAfterRevocation,
      note,
    },
  ]
}

export function cutRows(cuts: Staleness[], trials: number): Row[] {
  return cuts.map((cut) => ({
    what: `revocation seen by the other instance, LISTEN connection ${cut.how}, max`,
    value: 'maxMs' in cut ? cut.maxMs : undefined,
    unit: 'ms' as const,
    bound: acceptance.cutMs,
    note: 'maxMs' in cut ? `${trials} times` : cut.unmeasured,
  }))
}

export function clientRows({ p50, p99, max, revoked }: ClientLag, cut: ClientCut): Row[] {
  const what = 'revocation seen by the client library, which follows another instance'
  const note = `of ${revoked} revocations under load`
  return [
    { what: `${what}, p99`, value: p99, unit: 'ms', bound: acceptance.clientLagP99Ms, note },
    { what: `${what}, max`, value: max, unit: 'ms', bound: acceptance.clientLagMaxMs, note },
    { what: `${what}, p50`, value: p50, unit: 'ms', note },
    {
      what: 'revoked tokens that the client library accepted after two seconds, packets of its feed dropped',
      value: cut.late,
      bound: acceptance.clientAcceptedLate,
      note: `of ${cut.revoked}; the last was accepted after ${Math.round(cut.max)} ms`,
    },
  ]
}

export function memoryRows({
  peak,
  bytesPerToken,
  tokens,
}: Awaited<ReturnType<typeof measureMemory>>): Row[] {
  const what = `resident memory with ${tokens.toLocaleString('en')} cached tokens, under load`
  return [
    { what, value: peak, unit: 'MiB', bound: acceptance.memoryMiB },
    { what: 'resident memory by cached token', value: bytesPerToken, unit: 'bytes' },
  ]
}

export function consoleRows({
  listed,
  passed,
  rows,
  late,
  longestTask,
}: Awaited<ReturnType<typeof measureConsole>>): Row[] {
  const what = `the console's list of ${listed.toLocaleString('en')} tokens, past ${passed.toLocaleString('en')} of them by wheel`
  return [
    { what: `${what}, frames over 50 ms, of all`, value: late },
    { what: `${what}, longest task`, value: longestTask, unit: 'ms', note: `${rows} rows in the document` },
  ]
}

export function importRows({
  imports,
  seconds,
  toCreates,
  peak,
}: Awaited<ReturnType<typeof measureImport>>): Row[] {
  const what = `importing ${imports.toLocaleString('en')} tokens into the embedded database`
  return [
    { what, value: seconds * 1000, unit: 'ms', bound: acceptance.importMs },
    { what: `${what}, tokens a second, to creates a second (16 at a time)`, value: toCreates },
    { what: `${what}, resident memory of the service`, value: peak.service, unit: 'MiB' },
    { what: `${what}, resident memory of the command`, value: peak.command, unit: 'MiB' },
  ]
}

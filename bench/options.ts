import { parseArgs } from 'node:util'

/** The letters are the targets of the rotations, the words the other measurements. */
const parts = [
  ...'abcdefghi',
  'writes',
  'rotate',
  'import',
  'lag',
  'cut',
  'client',
  'memory',
  'start',
  'console',
] as const

/** Durations and repetitions; together they bound the time of a run. */
export type Plan = {
  rounds: number
  warmupSeconds: number
  seconds: number
  /** The duration of one measurement by wrk, which takes whole seconds. */
  wrkSeconds: number
  /** For measurements that are made only once. */
  onceSeconds: number
  connections: number
  tokens: number
  manyTokens: number
  bigCache: number
  revocations: number
  cutTrials: number
  clientRevocations: number
  starts: number
  imports: number
  /** In the console's list. */
  listed: number
}

const full: Plan = {
  rounds: 12,
  warmupSeconds: 0.25,
  seconds: 0.75,
  wrkSeconds: 1,
  onceSeconds: 2,
  connections: 128,
  tokens: 10_000,
  manyTokens: 1_000_000,
  bigCache: 100_000,
  revocations: 10_000,
  cutTrials: 3,
  clientRevocations: 1_000,
  starts: 5,
  imports: 100_000,
  listed: 100_000,
}

const quick: Plan = {
  ...full,
  rounds: 5,
  onceSeconds: 1,
  manyTokens: 100_000,
  bigCache: 10_000,
  revocations: 500,
  cutTrials: 1,
  clientRevocations: 200,
  starts: 2,
  imports: 10_000,
  listed: 10_000,
}

export type Options = {
  plan: Plan
  quick: boolean
  wants(part: string): boolean
  /** With `scale`: the numbers of tokens to compare. */
  sizes: number[] | undefined
}

const sizes = { default: '100000,1000000', least: 10_000 }

export function readOptions(args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    options: {
      quick: { type: 'boolean' },
      only: { type: 'string' },
      tokens: { type: 'string', default: sizes.default },
    },
    allowPositionals: true,
  })
  const other = positionals.find((word) => word !== 'scale')
  if (other !== undefined) throw new Error(`unknown argument ${other}; there is only scale`)
  const only = values.only?.split(',')
  const unknown = only?.find((part) => !(parts as readonly string[]).includes(part))
  if (unknown !== undefined) throw new Error(`--only knows ${parts.join(', ')}, and not ${unknown}`)
  return {
    plan: values.quick ? quick : full,
    quick: values.quick ?? false,
    sizes: positionals.includes('scale') ? readSizes(values.tokens) : undefined,
    wants: (part) => only === undefined || only.includes(part),
  }
}

function readSizes(text: string): number[] {
  const numbers = text.split(',').map(Number)
  if (!numbers.every((number) => Number.isInteger(number) && number >= sizes.least))
    throw new Error(`--tokens takes integers of at least ${sizes.least}, such as ${sizes.default}`)
  return numbers
}

import { randomInt } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { alphabet, generateSecret } from '../src/shared/secret.ts'

/** Files of tokens of equal length, concatenated: a compact way to pass a million of them to the load generator. */
export type Population = { length: number; good: string; bad: string }

/** How many different bad tokens are presented: half of them unknown, half malformed. */
const badCount = 2_000

/** The bad ones look like Counterfoil's own: half have a valid checksum but were never issued, half have a typo. */
export function writePopulation(stem: string, secrets: string[]): Population {
  const bad = Array.from({ length: badCount }, (_, i) => {
    const secret = generateSecret('api').reveal()
    return i % 2 === 0 ? secret : `${secret.slice(0, -1)}${secret.endsWith('0') ? '1' : '0'}`
  })
  return write(stem, secrets, bad)
}

/** For targets with other token formats: half of the bad ones have the right prefix and half are garbage. */
export function writeForeignPopulation(stem: string, secrets: string[]): Population {
  const length = secrets[0]?.length ?? 0
  const bad = Array.from({ length: badCount }, (_, i) => {
    const start = i % 2 === 0 ? (secrets[0] ?? '').slice(0, 4) : ''
    return start + Array.from({ length: length - start.length }, () => alphabet[randomInt(62)]).join('')
  })
  return write(stem, secrets, bad)
}

function write(stem: string, secrets: string[], bad: string[]): Population {
  const length = secrets[0]?.length ?? 0
  if (secrets.some((secret) => secret.length !== length)) throw new Error('tokens differ in length')
  const population = { length, good: `${stem}.good`, bad: `${stem}.bad` }
  writeFileSync(population.good, secrets.join(''), { mode: 0o600 })
  writeFileSync(population.bad, bad.join(''), { mode: 0o600 })
  return population
}

/** Reads tokens from a file by index. */
export function readTokens(file: string, length: number): { count: number; token(index: number): string } {
  const bytes = readFileSync(file)
  return {
    count: bytes.length / length,
    token: (index) => bytes.toString('latin1', index * length, (index + 1) * length),
  }
}

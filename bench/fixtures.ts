import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { atEnd } from './cleanup.ts'
import { openServer, type Server } from './database.ts'
import type { Plan } from './options.ts'
import { type Population, writePopulation } from './population.ts'
import { progress } from './progress.ts'
import { addTokens, prepare, type Seeded } from './seed.ts'

/** A database with Counterfoil's tables, and its tokens for the load generator. */
export type SeededDatabase = { seeded: Seeded; population: Population }

/** The databases that targets use: one that most share, and one with very many tokens. */
export type Fixtures = {
  scratch: string
  server: Server
  plan: Plan
  small: SeededDatabase
  large(): Promise<SeededDatabase>
}

export async function createFixtures(plan: Plan): Promise<Fixtures> {
  const scratch = newScratch()
  const server = await openServer(scratch)
  const fill = async (name: string, count: number) => {
    progress(`adding ${count.toLocaleString('en')} tokens`)
    const seeded = await prepare(await server.createDatabase())
    const tokens = await addTokens(seeded, count)
    const secrets = tokens.map(({ secret }) => secret)
    return { seeded, population: writePopulation(join(scratch, name), secrets) }
  }
  let large: Promise<SeededDatabase> | undefined
  return {
    scratch,
    server,
    plan,
    small: await fill('small', plan.tokens),
    large() {
      large ??= fill('large', plan.manyTokens)
      return large
    },
  }
}

export function newScratch(): string {
  const scratch = mkdtempSync(join(tmpdir(), 'counterfoil-bench-'))
  // If root runs the benchmark, PostgreSQL runs as another user, who must be able to traverse the directory.
  chmodSync(scratch, 0o711)
  atEnd(() => rmSync(scratch, { recursive: true, force: true }))
  return scratch
}

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { firstMessage, startNode, stop } from '../cleanup.ts'
import { cores } from '../cores.ts'
import type { Fixtures, SeededDatabase } from '../fixtures.ts'
import type { Ask } from '../load/load.ts'
import { type Population, writeForeignPopulation } from '../population.ts'
import { startService } from '../service.ts'
import type { Started } from './serve.ts'

/** The parameters for putting load on a target. */
export type Target = {
  port: number
  ask: Ask
  population: Population
  /** The numbers of connections to measure with, in turn; by default those of the plan. */
  connections?: number[]
  /** How many tokens its cache is filled with before measuring. */
  warm?: number
  stop(): Promise<void>
}

export const names: Record<string, string> = {
  a: 'node:http, fixed answer',
  b: 'Fastify, fixed answer',
  c: 'Fastify, one prepared SELECT a request',
  d: 'oidc-provider introspection',
  e: 'better-auth API-key verification',
  f: 'Counterfoil, cached',
  g: 'Counterfoil, cache off',
  h: 'Counterfoil, very many tokens',
  i: 'Counterfoil, two workers',
}

/** A service behind a gateway uses few connections, and a gateway with many workers uses many. */
const fewToMany = [8, 32, 128]

const form: Ask = { path: '/introspect', beforeToken: 'token=', afterToken: '', fixed: false }

export const starters: Record<string, (fixtures: Fixtures) => Promise<Target>> = {
  a: ({ small }) => ceiling('node-http.ts', small.population),
  b: async ({ small }) => ({
    ...(await ceiling('fastify.ts', small.population)),
    connections: fewToMany,
  }),
  async c({ small }) {
    const program = await startProgram('prepared-select.ts', { DATABASE_URL: small.seeded.url })
    return { ...program, ask: form, population: small.population, connections: fewToMany }
  },
  async d({ scratch, plan }) {
    const secret = randomBytes(24).toString('hex')
    const env = { TOKENS: String(plan.tokens), CLIENT_SECRET: secret }
    const { secrets = [], ...program } = await startProgram('oidc-provider.ts', env)
    const basic = Buffer.from(`resource-server:${secret}`).toString('base64')
    return {
      ...program,
      ask: { ...form, path: '/token/introspection', authorization: `Basic ${basic}` },
      population: writeForeignPopulation(join(scratch, 'oidc-provider'), secrets),
    }
  },
  async e({ scratch, plan, server }) {
    const env = { TOKENS: String(plan.tokens), DATABASE_URL: await server.createDatabase() }
    const { secrets = [], ...program } = await startProgram('better-auth.ts', env)
    return {
      ...program,
      ask: form,
      population: writeForeignPopulation(join(scratch, 'better-auth'), secrets),
    }
  },
  f: async ({ small }) => ({ ...(await counterfoil(small, {})), connections: fewToMany }),
  g: async ({ small }) => ({ ...(await counterfoil(small, { CACHE_SIZE: '0' })), connections: fewToMany }),
  h: async ({ large, plan }) => ({
    ...(await counterfoil(await large(), { CACHE_SIZE: String(plan.bigCache) })),
    warm: plan.bigCache,
  }),
  i: ({ small }) => counterfoil(small, { WORKERS: '2' }, cores.twoServers),
}

/** Counterfoil on a database of the benchmark, called by the resource server. */
export async function counterfoil(
  { seeded, population }: SeededDatabase,
  env: Record<string, string>,
  where?: string,
): Promise<Target & { pid: number }> {
  const service = await startService({ DATABASE_URL: seeded.url, ...env }, where)
  const ask = { ...form, authorization: `Bearer ${seeded.resourceServer}` }
  return { ...service, ask, population }
}

async function ceiling(name: string, population: Population): Promise<Target> {
  return { ...(await startProgram(name, {})), ask: { ...form, fixed: true }, population }
}

async function startProgram(name: string, env: NodeJS.ProcessEnv): Promise<Started & Pick<Target, 'stop'>> {
  const child = startNode(cores.server, [join(import.meta.dirname, name)], env, { ipc: true })
  return { ...(await firstMessage<Started>(child)), stop: () => stop(child) }
}

import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { atEnd, stop } from '../cleanup.ts'
import { ask, freePort, type Reply } from '../http.ts'

/** From docs/revocation.md. */
const boundMs = 2_000
const timeoutMs = 120_000
export const thisRelease = join(import.meta.dirname, '..', '..')

export type Counts = {
  requests: number
  created: number
  revoked: number
  unavailable: number
  unanswered: number
  slowestMs: number
  lost: number
  acceptedAfterTheBound: number
  otherServerErrors: number
  restartsNeeded: number
}

type Token = { id: string; secret: string; revokedAt?: number; doubtful?: boolean }

/** The environment of an instance, and the directory of its release if it is another one. */
export type Environment = Record<string, string> & { RELEASE?: string }

/** Two instances that acknowledge a revocation when a standby has it. */
export function onDatabase(url: string): Environment[] {
  const environment = { DATABASE_URL: url, REVOCATION_DURABILITY: 'remote' }
  return [environment, environment]
}

/** Instances, with clients of all of them that continuously create, revoke and introspect. */
export async function startLoad(environments: Environment[]) {
  const counts: Counts = {
    requests: 0,
    created: 0,
    revoked: 0,
    unavailable: 0,
    unanswered: 0,
    slowestMs: 0,
    lost: 0,
    acceptedAfterTheBound: 0,
    otherServerErrors: 0,
    restartsNeeded: 0,
  }
  const admin = `chaos-${randomBytes(24).toString('hex')}`
  const tokens: Token[] = []
  const instances: Instance[] = []
  for (const environment of environments) instances.push(await startInstance(environment, admin))
  let over = false

  /** Sends a request to one of them; undefined if there was no response. */
  async function send(
    port: number,
    method: 'GET' | 'POST',
    path: string,
    more = {},
  ): Promise<Reply | undefined> {
    counts.requests += 1
    const sentAt = performance.now()
    const reply = await ask(port, method, path, { token: admin, ...more }).catch(() => undefined)
    counts.slowestMs = Math.max(counts.slowestMs, Math.round(performance.now() - sentAt))
    if (!reply) counts.unanswered += 1
    if (reply?.status === 503) counts.unavailable += 1
    else if ((reply?.status ?? 0) >= 500) {
      counts.otherServerErrors += 1
      console.log(`  ${method} ${path.replace(/[0-9a-f-]{36}/, '<id>')}: ${reply?.status} ${reply?.body}`)
    }
    return reply
  }

  const anyPort = () => (instances[Math.floor(Math.random() * instances.length)] as Instance).port
  const tokensUrl = '/v1/organizations/platform/tokens'

  async function create(): Promise<void> {
    const json = { name: 'Chaos', type: 'management', scopes: ['tokens:read'] }
    const reply = await send(anyPort(), 'POST', tokensUrl, { json })
    if (reply?.status !== 201) return
    counts.created += 1
    tokens.push(JSON.parse(reply.body))
  }

  async function revoke(): Promise<void> {
    const token = tokens[Math.floor(Math.random() * tokens.length)]
    if (!token || token.revokedAt !== undefined || token.doubtful) return
    // Without a response, the token may or may not be revoked.
    token.doubtful = true
    const reply = await send(anyPort(), 'POST', `${tokensUrl}/${token.id}/revoke`)
    if (reply?.status !== 200) return
    counts.revoked += 1
    token.revokedAt = performance.now()
  }

  /** Whether the token is accepted; undefined if that cannot be determined. */
  async function accepts({ secret }: Token, port: number): Promise<boolean | undefined> {
    const reply = await send(port, 'POST', '/introspect', { form: `token=${secret}` })
    return reply?.status === 200 ? JSON.parse(reply.body).active : undefined
  }

  async function introspect(): Promise<void> {
    const recent = Math.random() < 0.5 ? Math.max(0, tokens.length - 200) : 0
    const token = tokens[recent + Math.floor(Math.random() * (tokens.length - recent))]
    if (!token) return
    const sentAt = performance.now()
    const late = token.revokedAt !== undefined && sentAt > token.revokedAt + boundMs
    const accepted = await accepts(token, anyPort())
    if (accepted && late) counts.acceptedAfterTheBound += 1
  }

  async function client(act: () => Promise<void>, pauseMs: number): Promise<void> {
    while (!over) {
      await act()
      await delay(pauseMs)
    }
  }
  const clients = [
    ...Array.from({ length: 4 }, () => client(create, 20)),
    ...Array.from({ length: 3 }, () => client(revoke, 40)),
    ...Array.from({ length: 8 }, () => client(introspect, 5)),
  ]

  return {
    counts,
    instances,
    /** Starts another instance, which receives requests as soon as it is ready. */
    async start(environment: Environment): Promise<void> {
      instances.push(await startInstance(environment, admin))
    },
    /** Stops an instance as an operator does: no further requests are sent to it, and it answers those it has. */
    async stop(instance: Instance): Promise<void> {
      instances.splice(instances.indexOf(instance), 1)
      await stop(instance.child)
    },
    /**
     * Resolves when all serve, create and revoke again. An instance that does not recover by itself would need a
     * restart.
     */
    async recovered(): Promise<void> {
      for (const instance of instances) {
        const until = performance.now() + timeoutMs
        while (!(await serves(instance.port))) {
          if (performance.now() < until && instance.child.exitCode === null) await delay(100)
          else {
            counts.restartsNeeded += 1
            throw new Error('an instance did not come back by itself')
          }
        }
      }
    },
    /** Stops the clients, and checks every token once more. */
    async finish(): Promise<void> {
      over = true
      await Promise.all(clients)
      for (const token of tokens) {
        if (token.doubtful && token.revokedAt === undefined) continue
        for (const { port } of instances) {
          let accepted = await accepts(token, port)
          while (accepted === undefined) accepted = await accepts(token, port)
          if (token.revokedAt === undefined && !accepted) counts.lost += 1
          if (token.revokedAt !== undefined && accepted) counts.acceptedAfterTheBound += 1
        }
      }
      for (const { child } of instances) await stop(child)
    },
  }

  async function serves(port: number): Promise<boolean> {
    if ((await send(port, 'GET', '/readyz'))?.status !== 200) return false
    const json = { name: 'Back', type: 'management', scopes: ['tokens:read'] }
    return (await send(port, 'POST', tokensUrl, { json }))?.status === 201
  }
}

export type Instance = { port: number; child: ChildProcess }

async function startInstance(
  { RELEASE = thisRelease, ...environment }: Environment,
  admin: string,
): Promise<Instance> {
  const port = await freePort()
  const env = { ADMIN_TOKEN: admin, PORT: String(port), LOG_LEVEL: 'error', ...environment }
  const child = spawn(process.execPath, [join(RELEASE, 'src', 'server.ts')], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  atEnd(() => stop(child))
  while ((await ask(port, 'GET', '/readyz').catch(() => undefined))?.status !== 200) {
    if (child.exitCode !== null) throw new Error('Counterfoil did not start')
    await delay(50)
  }
  return { port, child }
}

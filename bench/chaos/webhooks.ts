import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { bootstrap } from '../../src/bootstrap.ts'
import { createDb } from '../../src/db/database.ts'
import { Secret } from '../../src/shared/secret.ts'
import { startOwnServer } from '../../test/support/own-server.ts'
import { atEnd } from '../cleanup.ts'
import { ask } from '../http.ts'

const lifetime = { teardown: atEnd } as unknown as Parameters<typeof startOwnServer>[0]
/** With it, a claim of a minute lasts half a second, and a wait of an hour half a minute. */
const speed = 120

export type Delivered = {
  events: number
  messages: number
  duplicates: number
  kills: number
  lost: number
  outOfOrder: number
  unknown: number
}

/**
 * Two instances create, rotate and revoke tokens and deliver the events to a receiver that fails half of the time,
 * while one or the other is killed at random. Every event in the change log must arrive, and those of each token in
 * order.
 */
export async function deliverThroughKills(events: number): Promise<Delivered> {
  const server = await startOwnServer(lifetime)
  const admin = randomBytes(32).toString('hex')
  const owner = createDb({ url: server.url, poolSize: 1 })
  await bootstrap(owner, new Date(), new Secret(admin), { withExamples: true })
  await owner.destroy()
  const pool = new pg.Pool({ connectionString: server.url, max: 1 })
  atEnd(() => pool.end())

  const receiver = await startReceiver()
  const env = {
    PATH: process.env.PATH,
    DATABASE_URL: server.url,
    NODE_ENV: 'production',
    MASTER_KEY: randomBytes(32).toString('hex'),
    STARTED: `${Date.now()}`,
    SPEED: `${speed}`,
  }
  const instances = [await startInstance(env), await startInstance(env)]
  atEnd(() => instances.map(({ child }) => child.kill('SIGKILL')))

  /** Sends a request to one of the instances, or to the other one if that is being killed. */
  const post = async (path: string, json: object) => {
    for (let n = Math.floor(Math.random() * 2); ; n += 1) {
      const { port } = instances[n % 2] as Instance
      const reply = await ask(port, 'POST', path, { token: admin, json }).catch(() => undefined)
      if (reply && reply.status < 500) return JSON.parse(reply.body)
      await delay(50)
    }
  }
  await post('/v1/organizations/default/webhooks', {
    url: receiver.url,
    events: ['token.created', 'token.rotated', 'token.revoked'],
  })

  let kills = 0
  let working = true
  const killing = (async () => {
    while (working) {
      await delay(1_000 + Math.random() * 4_000)
      const n = Math.floor(Math.random() * 2)
      const { child } = instances[n] as Instance
      child.kill('SIGKILL')
      await once(child, 'exit')
      kills += 1
      instances[n] = await startInstance(env)
    }
  })()

  const perToken = 5
  let left = events / perToken
  const tokens = '/v1/organizations/default/tokens'
  const client = async () => {
    while (left-- > 0) {
      const { id } = await post(tokens, { name: 'In chaos', type: 'api' })
      for (let n = 0; n < perToken - 2; n += 1) await post(`${tokens}/${id}/rotate`, { overlap_seconds: 0 })
      await post(`${tokens}/${id}/revoke`, {})
    }
  }
  await Promise.all(Array.from({ length: 8 }, client))

  const waiting = async () => {
    const { rows } = await pool.query(
      `select (select count(*) from outbox) + (select count(*) from deliveries where status = 'pending') as count`,
    )
    return Number(rows[0].count)
  }
  for (let count = await waiting(); count > 0; count = await waiting()) {
    console.log(`webhooks: ${receiver.accepted.size} arrived, ${count} left, ${kills} kills`)
    await delay(5_000)
  }
  working = false
  await killing

  const { rows: logged } = await pool.query<Logged>(`select id, target_id from audit_events
    where action in ('token.created', 'token.rotated', 'token.revoked') and organization_id =
      (select id from organizations where key = 'default')
    order by occurred_at`)
  const { accepted } = receiver
  const ids = new Set(logged.map(({ id }) => id))
  return {
    events: logged.length,
    messages: receiver.received(),
    duplicates: receiver.duplicates(),
    kills,
    lost: logged.filter(({ id }) => !accepted.has(id)).length,
    outOfOrder: outOfOrder(logged, accepted),
    unknown: [...accepted.keys()].filter((id) => !ids.has(id)).length,
  }
}

type Logged = { id: string; target_id: string }
type Instance = { child: ChildProcess; port: number }

async function startInstance(env: NodeJS.ProcessEnv): Promise<Instance> {
  const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const
  const child = spawn(process.execPath, [join(import.meta.dirname, 'instance.ts')], {
    env,
    stdio: [...stdio],
  })
  const [port] = await once(child, 'message')
  return { child, port }
}

/** Records the messages that it accepted, in the order of their first arrival. */
async function startReceiver() {
  const accepted = new Map<string, { n: number }>()
  let received = 0
  let duplicates = 0
  const server = createServer(async (request, response) => {
    // The sender may have been killed.
    const complete = await once(request.resume(), 'end').catch(() => undefined)
    if (!complete) return
    received += 1
    const id = String(request.headers['webhook-id'])
    if (Math.random() < 0.5) return void response.writeHead(500).end()
    if (accepted.has(id)) duplicates += 1
    else accepted.set(id, { n: accepted.size })
    response.writeHead(204).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  atEnd(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    accepted,
    received: () => received,
    duplicates: () => duplicates,
  }
}

/** How many messages were first accepted after a later one of their token, by the change log. */
function outOfOrder(logged: Logged[], accepted: Map<string, { n: number }>): number {
  const newest = new Map<string, number>()
  let count = 0
  for (const { id, target_id: token } of logged) {
    const n = accepted.get(id)?.n ?? -1
    if (n < (newest.get(token) ?? -1)) count += 1
    else newest.set(token, n)
  }
  return count
}

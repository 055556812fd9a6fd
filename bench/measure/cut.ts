import { setTimeout as delay } from 'node:timers/promises'
import { atEnd } from '../cleanup.ts'
import { query } from '../database.ts'
import type { IssuedToken, Seeded } from '../seed.ts'
import { untilRefused } from './lag.ts'
import type { Listening, NotificationProxy } from './proxy.ts'
import { isActive, revokeToken } from './tokens.ts'

/** Ways to interrupt notifications; each returns a function that undoes it. */
const cuts: Record<string, (listening: Listening, pid: number, url: string) => Promise<() => void>> = {
  async 'killed by pg_terminate_backend'(_listening, pid, url) {
    await query(url, 'select pg_terminate_backend($1)', [pid])
    return () => undefined
  },
  async 'half-open, packets dropped'(listening) {
    listening.dropPackets()
    return () => listening.close()
  },
  async 'backend stopped with SIGSTOP'(_listening, pid) {
    const resume = () => {
      try {
        process.kill(pid, 'SIGCONT')
      } catch {
        // The instance dropped the connection, so the backend is gone.
      }
    }
    process.kill(pid, 'SIGSTOP')
    // If the run is aborted, PostgreSQL could not be stopped while a backend is suspended.
    atEnd(resume)
    return resume
  },
}

const tokensPerCut = 40
const everyMs = 75

export function tokensForCuts(trials: number): number {
  return Object.keys(cuts).length * trials * tokensPerCut
}

export type Staleness = { how: string; maxMs: number } | { how: string; unmeasured: string }

/** The longest time for which `other` accepts tokens that `one` has revoked, while notifications are interrupted. */
export async function measureCuts(
  ports: { one: number; other: number },
  proxy: NotificationProxy,
  seeded: Seeded,
  tokens: IssuedToken[],
  trials: number,
): Promise<Staleness[]> {
  const results: Staleness[] = []
  const left = [...tokens]
  for (const [how, cut] of Object.entries(cuts)) {
    try {
      let maxMs = 0
      for (let trial = 0; trial < trials; trial++) {
        maxMs = Math.max(maxMs, await oneCut(cut, ports, proxy, seeded, left.splice(0, tokensPerCut)))
      }
      results.push({ how, maxMs })
    } catch (error) {
      results.push({ how, unmeasured: (error as Error).message })
    }
  }
  return results
}

async function oneCut(
  cut: (typeof cuts)[string],
  { one, other }: { one: number; other: number },
  proxy: NotificationProxy,
  seeded: Seeded,
  tokens: IssuedToken[],
): Promise<number> {
  const listening = await live(proxy)
  for (const { secret } of tokens) {
    // Twice: the second response comes from the cache.
    for (const port of [other, other]) {
      if (!(await isActive(port, seeded, secret))) throw new Error('a token was not accepted before the cut')
    }
  }
  const pid = await backendOf(seeded.url, listening)
  const undo = await cut(listening, pid, seeded.url)
  try {
    const lags: Promise<number>[] = []
    for (const { id, secret } of tokens) {
      await revokeToken(one, seeded, id)
      lags.push(untilRefused(other, seeded, secret, performance.now()))
      await delay(everyMs)
    }
    return Math.max(...(await Promise.all(lags)))
  } finally {
    undo()
  }
}

/** The current listening connection, once it has recovered from the previous cut and the lease holds. */
async function live(proxy: NotificationProxy): Promise<Listening> {
  await delay(3_000)
  const listening = proxy.listening()
  if (!listening) throw new Error('no connection listens for notifications')
  return listening
}

async function backendOf(url: string, { localPort }: Listening): Promise<number> {
  const { rows } = await query(url, 'select pid from pg_stat_activity where client_port = $1', [localPort])
  if (!rows[0]) throw new Error('PostgreSQL does not know the connection')
  return rows[0].pid
}

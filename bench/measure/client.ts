import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { createVerifier, type Verifier } from '../../client/verifier.ts'
import type { Generator } from '../load/load.ts'
import type { Plan } from '../options.ts'
import type { IssuedToken, Seeded } from '../seed.ts'
import type { Target } from '../targets/targets.ts'
import { startProxy } from './feed-proxy.ts'
import { percentile } from './throughput.ts'
import { revokeToken } from './tokens.ts'
import { underLoad } from './under-load.ts'

/** By then the feed confirms cached answers. */
const settleMs = 3_500
/** The bound that the library guarantees when the feed is cut. */
const promisedMs = 2_000
const timeoutMs = 10_000
const everyMs = 75

export type ClientLag = { p50: number; p99: number; max: number; revoked: number }
export type ClientCut = { late: number; max: number; revoked: number }

/**
 * Revokes tokens on `one` while both are under load, and verifies them with the client library, which follows `other`
 * and has them cached. Measures the time from the acknowledgement until the library rejects the token.
 */
export async function measureClientLag(
  [one, other]: [Target, Target],
  generators: readonly [Generator, Generator],
  seeded: Seeded,
  tokens: IssuedToken[],
  plan: Plan,
): Promise<ClientLag> {
  const verifier = await following(`http://127.0.0.1:${other.port}`, seeded)
  const lags: number[] = []
  try {
    await underLoad([one, other], generators, plan, tokens, async ({ id, secret }) => {
      await verifier.verify(secret)
      await revokeToken(one.port, seeded, id)
      lags.push((await refusalOf(verifier, secret, performance.now())).refusedMs)
    })
  } finally {
    verifier.close()
  }
  const at = (share: number) => percentile(lags, share)
  return { p50: at(0.5), p99: at(0.99), max: at(1), revoked: lags.length }
}

/** For how long the library accepts revoked tokens while the packets of its feed are lost. */
export async function measureClientCut(
  { port }: Target,
  seeded: Seeded,
  tokens: IssuedToken[],
): Promise<ClientCut> {
  const proxy = await startProxy(port)
  const feedThroughProxy: typeof fetch = (input, init) =>
    fetch(String(input).replace(/:\d+(?=\/v1\/)/, `:${proxy.port}`), init)
  const verifier = await following(`http://127.0.0.1:${port}`, seeded, feedThroughProxy)
  try {
    for (const { secret } of tokens) await verifier.verify(secret)
    proxy.dropPackets()
    const stale: Promise<{ acceptedMs: number }>[] = []
    for (const { id, secret } of tokens) {
      await revokeToken(port, seeded, id)
      stale.push(refusalOf(verifier, secret, performance.now()))
      await delay(everyMs)
    }
    const accepted = (await Promise.all(stale)).map(({ acceptedMs }) => acceptedMs)
    const late = accepted.filter((ms) => ms > promisedMs).length
    return { late, max: percentile(accepted, 1), revoked: tokens.length }
  } finally {
    verifier.close()
    proxy.close()
  }
}

/** A verifier that follows the feed. */
async function following(url: string, { resourceServer }: Seeded, through = fetch): Promise<Verifier> {
  const followed = Promise.withResolvers<void>()
  const onFeed = (state: string) => state === 'followed' && followed.resolve()
  const verifier = createVerifier({ url, token: resourceServer, fetch: through, onFeed, cacheSize: 100_000 })
  await followed.promise
  await delay(settleMs)
  return verifier
}

/** When the token was first rejected, and when the last request that accepted it began. */
async function refusalOf(verifier: Verifier, secret: string, since: number) {
  let acceptedMs = 0
  for (let now = since; now - since < timeoutMs; now = performance.now()) {
    const accepted = await verifier.verify(secret).then(
      () => true,
      () => false,
    )
    if (!accepted) return { acceptedMs, refusedMs: performance.now() - since }
    acceptedMs = now - since
    await turn()
  }
  return { acceptedMs: timeoutMs, refusedMs: timeoutMs }
}

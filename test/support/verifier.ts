import { EventEmitter, once } from 'node:events'
import type { Test } from 'tap'
import {
  createVerifier,
  type Revocation,
  type Verifier,
  type VerifierOptions,
} from '../../client/verifier.ts'
import { recordSecret } from './records.ts'
import type { World } from './world.ts'

/** A verifier of the client library, with what tests need to observe and control it. */
export type Watched = {
  verifier: Verifier
  /** The result of `verify`: the id of the token, or the code of the error. */
  outcome(token: string, demand?: Parameters<Verifier['verify']>[1]): Promise<string>
  /** The tokens of every introspection request. */
  asked: string[][]
  /** Resolves when the feed is followed, or has been lost. */
  feed(state: 'followed' | 'lost'): Promise<void>
  /** Resolves when the feed has reported the token, or (null) an event about no single token. */
  told(tokenId: string | null): Promise<Revocation>
  /** The verifier's clock. */
  time: { advance(ms: number): void }
  /** Holds back the responses to requests from now on. */
  hold(): { asked: Promise<void>; release(): void }
}

type Options = Partial<VerifierOptions> & {
  /** The source of the feed, if different from that of introspection. */
  feedUrl?: string
}

export function watchVerifier(t: Test, url: string, token: string, { feedUrl, ...options }: Options = {}) {
  const events = new EventEmitter()
  const states = new Set<string>()
  const revocations: Revocation[] = []
  const asked: string[][] = []
  let offset = 0
  let held: { asked: PromiseWithResolvers<void>; released: PromiseWithResolvers<void> } | undefined

  const watchedFetch: typeof fetch = async (input, init = {}) => {
    const target = String(input)
    if (!target.endsWith('/introspect/batch')) return fetch(target.replace(url, feedUrl ?? url), init)
    asked.push(JSON.parse(String(init.body)).tokens)
    const response = await fetch(target, init)
    held?.asked.resolve()
    await held?.released.promise
    return response
  }
  const verifier = createVerifier({
    url,
    token,
    fetch: watchedFetch,
    elapsed: () => performance.now() + offset,
    onFeed(state) {
      states.delete(state === 'lost' ? 'followed' : 'lost')
      states.add(state)
      events.emit('news')
    },
    onRevocation(revocation) {
      revocations.push(revocation)
      events.emit('news')
    },
    ...options,
  })
  t.teardown(() => verifier.close())

  const until = async <T>(look: () => T | undefined): Promise<T> => {
    for (;;) {
      const found = look()
      if (found !== undefined) return found
      await once(events, 'news')
    }
  }
  const watched: Watched = {
    verifier,
    outcome: (token, demand) =>
      verifier.verify(token, demand).then(
        ({ jti }) => jti,
        ({ code }) => code,
      ),
    asked,
    feed: (state) => until(() => (states.has(state) ? true : undefined)).then(() => undefined),
    told: (tokenId) => until(() => revocations.find(({ token_id }) => token_id === tokenId)),
    time: {
      advance(ms) {
        offset += ms
      },
    },
    hold() {
      const own = { asked: Promise.withResolvers<void>(), released: Promise.withResolvers<void>() }
      held = own
      return {
        asked: own.asked.promise,
        release() {
          held = undefined
          own.released.resolve()
        },
      }
    },
  }
  return watched
}

/** The URL of the service, and a resource server of the platform to call it as. */
export async function startService(world: World): Promise<{ url: string; token: string; id: string }> {
  const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
  const input = { type: 'management', scopes: ['tokens:introspect'] }
  const { secret: token, id } = await world.issue(input, 'platform')
  recordSecret(token)
  return { url, token, id }
}

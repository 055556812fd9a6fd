import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import type { Outbound } from '../outbound/outbound.ts'
import { AppError } from '../shared/errors.ts'
import { platformId } from '../shared/platform.ts'

export const githubKeysUrl = 'https://api.github.com/meta/public_keys/secret_scanning'

const hourMs = 60 * 60 * 1000
/** Requests with made-up key identifiers must not make us call GitHub at any rate. */
const minuteMs = 60 * 1000

type PublishedKeys = { public_keys: { key_identifier: string; key: string }[] }

export type GithubKeysOptions = {
  fetchJson: Outbound['fetchJson']
  url?: string
  now: () => Date
}

/** The keys that sign GitHub's alerts, by identifier. They are fetched when one is needed that is not known. */
export function createGithubKeys({ fetchJson, url = githubKeysUrl, now }: GithubKeysOptions) {
  let keys = new Map<string, KeyObject>()
  let fetchedAt = Number.NEGATIVE_INFINITY
  let triedAt = Number.NEGATIVE_INFINITY
  let fetching: Promise<void> | undefined

  async function refresh(): Promise<void> {
    triedAt = now().getTime()
    const { public_keys: published } = (await fetchJson(url, platformId)) as PublishedKeys
    // Throws if the document is anything else.
    keys = new Map(published.map((one) => [one.key_identifier, createPublicKey(one.key)]))
    fetchedAt = now().getTime()
  }

  /** Undefined: GitHub publishes no such key. While its keys cannot be fetched, known ones stay in use. */
  return async function keyOf(identifier: string): Promise<KeyObject | undefined> {
    const isCurrent = keys.has(identifier) && now().getTime() - fetchedAt < hourMs
    if (!isCurrent && (fetching || now().getTime() - triedAt >= minuteMs)) {
      fetching ??= refresh().finally(() => {
        fetching = undefined
      })
      try {
        await fetching
      } catch (error) {
        if (!keys.has(identifier)) throw unavailable(error)
      }
    }
    const key = keys.get(identifier)
    if (!key && fetchedAt === Number.NEGATIVE_INFINITY) throw unavailable()
    return key
  }
}

function unavailable(cause?: unknown): AppError {
  return new AppError('unavailable', "GitHub's public keys cannot be fetched at the moment.", { cause })
}

/** ECDSA over SHA-256 of the bytes of the body, in base64 of DER. */
export function isSignedBy(key: KeyObject, body: Buffer, signature: string): boolean {
  return verify('sha256', body, { key, dsaEncoding: 'der' }, Buffer.from(signature, 'base64'))
}

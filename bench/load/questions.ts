import { readTokens } from '../population.ts'
import type { Load } from './load.ts'

export type Asked = { request: string; good: boolean }

const shareOfBad = 0.1

/**
 * Returns a function that gives the next request of a load: for random tokens, a tenth of them bad, or for each good
 * token once.
 */
export function questions(load: Load): () => Asked | undefined {
  const { length } = load.population
  const good = readTokens(load.population.good, length)
  const bad = readTokens(load.population.bad, length)
  const count = Math.min(load.firstTokens ?? good.count, good.count)
  const head = headOf(load)
  const { afterToken } = load.ask
  const ask = (token: string, isGood: boolean): Asked => ({
    request: head + token + afterToken,
    good: isGood || load.ask.fixed,
  })
  if (load.eachOnce) {
    let index = 0
    return () => (index < count ? ask(good.token(index++), true) : undefined)
  }
  return () =>
    Math.random() < shareOfBad
      ? ask(bad.token(Math.floor(Math.random() * bad.count)), false)
      : ask(good.token(Math.floor(Math.random() * count)), true)
}

/** The request up to the token. */
export function headOf({ ask, port, population }: Load): string {
  const size = ask.beforeToken.length + population.length + ask.afterToken.length
  return [
    `POST ${ask.path} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    ...(ask.authorization ? [`authorization: ${ask.authorization}`] : []),
    'content-type: application/x-www-form-urlencoded',
    `content-length: ${size}`,
    '',
    ask.beforeToken,
  ].join('\r\n')
}

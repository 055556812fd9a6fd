import t from 'tap'
import { createLoader } from '../../src/credentials/loader.ts'

/** Batches that the test answers, in any order. */
function createBatches(atOnce: number, size = 100) {
  const sent: {
    keys: string[]
    answer: (found?: Record<string, string>) => void
    fail: (e: Error) => void
  }[] = []
  let arrival = Promise.withResolvers<void>()
  const lookUp = createLoader<string, string>(
    (keys) => {
      const { promise, resolve, reject } = Promise.withResolvers<(string | undefined)[]>()
      const answer = (found: Record<string, string> = {}) => resolve(keys.map((key) => found[key]))
      sent.push({ keys, answer, fail: reject })
      arrival.resolve()
      arrival = Promise.withResolvers()
      return promise
    },
    { atOnce, size },
  )
  const lookup = async (key: string) => (await lookUp([key]))[0]
  return { lookup, find: lookUp, sent, nextSent: () => arrival.promise }
}

t.test('keys of one event-loop turn are looked up in one batch, each once', async (t) => {
  const { lookup, sent, nextSent } = createBatches(3)
  const answers = Promise.all(['a', 'b', 'a'].map((key) => lookup(key)))
  await nextSent()
  t.same(
    sent.map(({ keys }) => keys),
    [['a', 'b']],
  )
  sent[0]?.answer({ a: 'A' })
  t.same(await answers, ['A', undefined, 'A'])
})

t.test('several keys are answered in their order, also when others request them too', async (t) => {
  const { find, sent, nextSent } = createBatches(3)
  const answers = [find(['a', 'b']), find(['c', 'b', 'c'])]
  await nextSent()
  t.same(sent[0]?.keys, ['a', 'b', 'c'])
  sent[0]?.answer({ b: 'B', c: 'C' })
  t.same(await Promise.all(answers), [
    [undefined, 'B'],
    ['C', 'B', 'C'],
  ])
})

t.test('a full batch is sent before the turn ends if another may be in flight', async (t) => {
  const { lookup, find, sent, nextSent } = createBatches(2, 2)
  const answers = [find(['a', 'b']), find(['c', 'd']), find(['e', 'f']), lookup('g')]
  t.same(
    sent.map(({ keys }) => keys),
    [
      ['a', 'b'],
      ['c', 'd'],
    ],
  )
  const third = nextSent()
  for (const { answer } of [...sent]) answer()
  await third
  t.same(sent[2]?.keys, ['e', 'f', 'g'])
  sent[2]?.answer({ g: 'G' })
  t.equal(await answers[3], 'G')
})

t.test('keys requested while enough batches are in flight wait and go out together', async (t) => {
  const { lookup, sent, nextSent } = createBatches(1)
  const first = lookup('a')
  await nextSent()
  const later = [lookup('b')]
  await new Promise(setImmediate)
  later.push(lookup('c'))
  t.equal(sent.length, 1)
  sent[0]?.answer()
  await first
  await nextSent()
  t.same(sent[1]?.keys, ['b', 'c'])
  sent[1]?.answer({ c: 'C' })
  t.same(await Promise.all(later), [undefined, 'C'])
})

t.test('a key in flight is looked up again: an answer is never older than its request', async (t) => {
  const { lookup, sent, nextSent } = createBatches(2)
  const before = lookup('a')
  await nextSent()
  const after = lookup('a')
  await nextSent()
  sent[0]?.answer({ a: 'old' })
  sent[1]?.answer({ a: 'new' })
  t.same(await Promise.all([before, after]), ['old', 'new'])
})

t.test('a failed batch fails all its requests, but not the next batch', async (t) => {
  const { lookup, sent, nextSent } = createBatches(1)
  const failing = Promise.allSettled([lookup('a'), lookup('b')])
  await nextSent()
  sent[0]?.fail(new Error('gone'))
  t.same(
    (await failing).map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  const next = lookup('a')
  await nextSent()
  sent[1]?.answer({ a: 'A' })
  t.equal(await next, 'A')
})

t.test('a request for no keys does not wait', async (t) => {
  const { find, sent } = createBatches(3)
  find(['a'])
  t.same(await find([]), [])
  t.same(sent, [])
})

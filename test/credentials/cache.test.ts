import t from 'tap'
import { createCache } from '../../src/credentials/cache.ts'

type Known = { hash: string }

/** A cache whose lookups the test answers, in any order. */
function createMemory({ size = 10 } = {}) {
  const asked: { keys: string[]; answer: (...known: string[]) => void; fail: (error: Error) => void }[] = []
  const state = { mayRemember: true }
  const memory = createCache<string, Known>(
    (keys) => {
      const { promise, resolve, reject } = Promise.withResolvers<(Known | undefined)[]>()
      const answer = (...known: string[]) =>
        resolve(keys.map((hash) => (known.includes(hash) ? { hash } : undefined)))
      asked.push({ keys, answer, fail: reject })
      return promise
    },
    { size, mayRemember: () => state.mayRemember },
  )
  const find = async (key: string) => {
    const known = memory.recall(key)
    return known === undefined ? (await memory.lookUp([key]))[0] : (known ?? undefined)
  }
  /** Looks up a key that exists, and answers the lookup. */
  const learn = async (key: string) => {
    const found = find(key)
    asked.at(-1)?.answer(key)
    await found
  }
  return { ...memory, find, learn, asked, state }
}

t.test('a looked-up value is cached and returned without a promise', async (t) => {
  const { find, recall, asked } = createMemory()
  const first = find('a')
  asked[0]?.answer('a')
  t.same(await first, { hash: 'a' })
  t.same(recall('a'), { hash: 'a' })
  t.same(await find('a'), { hash: 'a' })
  t.equal(asked.length, 1)
})

t.test('an unknown key is cached as unknown', async (t) => {
  const { find, recall, asked } = createMemory()
  const first = find('a')
  asked[0]?.answer()
  t.equal(await first, undefined)
  t.equal(recall('a'), null)
  t.equal(await find('a'), undefined)
  t.equal(asked.length, 1)
})

for (const forget of ['forget', 'forgetAll'] as const) {
  t.test(`a lookup overtaken by a change (${forget}) is not cached`, async (t) => {
    const memory = createMemory()
    const before = memory.find('a')
    memory[forget]('a')
    const after = memory.find('a')
    t.equal(memory.asked.length, 2)
    memory.asked[1]?.answer()
    t.equal(await after, undefined)
    memory.asked[0]?.answer('a')
    t.same(await before, { hash: 'a' })
    t.equal(await memory.find('a'), undefined)
    t.equal(memory.asked.length, 2)
  })
}

t.test('a change that arrives while a result is being delivered is not overlooked', async (t) => {
  for (let steps = 0; steps < 10; steps++) {
    const memory = createMemory()
    const found = memory.find('a')
    memory.asked[0]?.answer('a')
    for (let step = 0; step < steps; step++) await null
    memory.forget('a')
    await found
    t.equal(memory.recall('a'), undefined, `after ${steps} microtasks`)
  }
})

t.test('known and unknown keys are looked up again after a change', async (t) => {
  const { find, forget, asked } = createMemory()
  for (const isKnown of [true, false, true]) {
    const found = find('a')
    asked.at(-1)?.answer(...(isKnown ? ['a'] : []))
    t.same(await found, isKnown ? { hash: 'a' } : undefined)
    forget('a')
  }
  t.equal(asked.length, 3)
})

t.test('a failed lookup is not cached', async (t) => {
  const { find, asked } = createMemory()
  const first = find('a')
  asked[0]?.fail(new Error('gone'))
  await t.rejects(first, { message: 'gone' })
  const second = find('a')
  asked[1]?.answer('a')
  t.same(await second, { hash: 'a' })
})

t.test('while the cache is not permitted, everything is looked up and nothing is cached', async (t) => {
  const { find, asked, state } = createMemory()
  state.mayRemember = false
  for (const _ of [1, 2]) {
    const found = find('a')
    asked.at(-1)?.answer('a')
    t.same(await found, { hash: 'a' })
  }
  t.equal(asked.length, 2)
  state.mayRemember = true
  const found = find('a')
  asked.at(-1)?.answer('a')
  await found
  t.equal(asked.length, 3)
})

t.test('a flood of unknown keys evicts no known ones', async (t) => {
  const { find, asked } = createMemory({ size: 10 })
  const first = find('a')
  asked[0]?.answer('a')
  await first
  for (let i = 0; i < 1000; i++) {
    const found = find(`garbage ${i}`)
    asked.at(-1)?.answer()
    await found
  }
  t.same(await find('a'), { hash: 'a' })
})

t.test('the cache is bounded: a new entry evicts the least recently used one', async (t) => {
  const { learn, recall } = createMemory({ size: 2 })
  await learn('a')
  await learn('b')
  // At most this many uses until an entry counts as used.
  for (let i = 0; i < 8; i++) t.same(recall('a'), { hash: 'a' })
  // And at most this many lookups until a new key is admitted.
  for (let i = 0; i < 8; i++) await learn('c')
  t.same(recall('a'), { hash: 'a' })
  t.same(recall('c'), { hash: 'c' })
  t.equal(recall('b'), undefined)
})

t.test('in a full cache, keys that are looked up once seldom evict others', async (t) => {
  const { learn, recall } = createMemory({ size: 100 })
  for (let i = 0; i < 100; i++) await learn(`known ${i}`)
  for (let i = 0; i < 100; i++) await learn(`once ${i}`)
  const left = Array.from({ length: 100 }, (_, i) => recall(`known ${i}`)).filter(Boolean)
  t.ok(left.length > 80, `${left.length} of 100 are left`)
})

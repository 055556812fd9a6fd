import t from 'tap'
import { remember } from '../../src/introspection/memory.ts'

const good = {}

/** A memory whose questions the test answers, each when it likes. */
function createMemory({ size = 10 } = {}) {
  const asked: { key: string; answer: (value?: object) => void; fail: (error: Error) => void }[] = []
  const state = { mayRemember: true }
  const memory = remember<string, object>(
    (key) => {
      const { promise, resolve, reject } = Promise.withResolvers<object | undefined>()
      asked.push({ key, answer: resolve, fail: reject })
      return promise
    },
    { size, mayRemember: () => state.mayRemember },
  )
  return { ...memory, asked, state }
}

t.test('what was looked up is known from then on, without a promise', async (t) => {
  const { find, asked } = createMemory()
  const first = find('a')
  asked[0]?.answer(good)
  t.equal(await first, good)
  t.equal(find('a'), good)
  t.equal(asked.length, 1)
})

t.test('what is unknown is remembered as unknown', async (t) => {
  const { find, asked } = createMemory()
  const first = find('a')
  asked[0]?.answer(undefined)
  t.equal(await first, undefined)
  t.equal(find('a'), undefined)
  t.equal(asked.length, 1)
})

t.test('who asks while a lookup is under way shares its answer', async (t) => {
  const { find, asked } = createMemory()
  const both = [find('a'), find('a')]
  asked[0]?.answer(good)
  t.same(await Promise.all(both), [good, good])
  t.equal(asked.length, 1)
})

for (const forget of ['forget', 'forgetAll'] as const) {
  t.test(`a lookup that a change overtakes (${forget}) is neither kept nor shared`, async (t) => {
    const memory = createMemory()
    const before = memory.find('a')
    memory[forget]('a')
    const after = memory.find('a')
    t.equal(memory.asked.length, 2)
    memory.asked[1]?.answer(undefined)
    t.equal(await after, undefined)
    memory.asked[0]?.answer(good)
    t.equal(await before, good)
    t.equal(memory.find('a'), undefined)
  })
}

t.test('what was known is asked again after a change, and what was unknown too', async (t) => {
  const { find, forget, asked } = createMemory()
  for (const value of [good, undefined, good]) {
    const found = find('a')
    asked.at(-1)?.answer(value)
    t.equal(await found, value)
    forget('a')
  }
  t.equal(asked.length, 3)
})

t.test('a failed lookup is not remembered', async (t) => {
  const { find, asked } = createMemory()
  const first = find('a')
  asked[0]?.fail(new Error('gone'))
  await t.rejects(Promise.resolve(first), { message: 'gone' })
  const second = find('a')
  asked[1]?.answer(good)
  t.equal(await second, good)
})

t.test('while it may not remember everything is asked, and nothing kept', async (t) => {
  const { find, asked, state } = createMemory()
  state.mayRemember = false
  for (const _ of [1, 2]) {
    const found = find('a')
    asked.at(-1)?.answer(good)
    t.equal(await found, good)
  }
  t.equal(asked.length, 2)
  state.mayRemember = true
  find('a')
  t.equal(asked.length, 3)
})

t.test('a flood of garbage drives out nothing that is known', async (t) => {
  const { find, asked } = createMemory({ size: 10 })
  const first = find('a')
  asked[0]?.answer(good)
  await first
  for (let i = 0; i < 1000; i++) {
    const found = find(`garbage ${i}`)
    asked.at(-1)?.answer(undefined)
    await found
  }
  t.equal(find('a'), good)
})

t.test('what is known is bounded: the longest unused goes', async (t) => {
  const { find, asked } = createMemory({ size: 2 })
  for (const key of ['a', 'b', 'a', 'c']) {
    const found = find(key)
    if (found instanceof Promise) asked.at(-1)?.answer(good)
    await found
  }
  t.equal(find('a'), good)
  t.equal(find('c'), good)
  t.ok(find('b') instanceof Promise)
})

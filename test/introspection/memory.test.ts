import t from 'tap'
import { remember } from '../../src/introspection/memory.ts'

type Known = { hash: string }

/** A memory whose questions the test answers, each when it likes. */
function createMemory({ size = 10 } = {}) {
  const asked: { key: string; answer: (isKnown: boolean) => void; fail: (error: Error) => void }[] = []
  const state = { mayRemember: true }
  const memory = remember<string, Known>(
    (key) => {
      const { promise, resolve, reject } = Promise.withResolvers<Known | undefined>()
      asked.push({ key, answer: (isKnown) => resolve(isKnown ? { hash: key } : undefined), fail: reject })
      return promise
    },
    { size, mayRemember: () => state.mayRemember },
  )
  return { ...memory, asked, state }
}

t.test('what was looked up is known from then on, without a promise', async (t) => {
  const { find, asked } = createMemory()
  const first = find('a')
  asked[0]?.answer(true)
  t.same(await first, { hash: 'a' })
  t.same(find('a'), { hash: 'a' })
  t.equal(asked.length, 1)
})

t.test('what is unknown is remembered as unknown', async (t) => {
  const { find, asked } = createMemory()
  const first = find('a')
  asked[0]?.answer(false)
  t.equal(await first, undefined)
  t.equal(find('a'), undefined)
  t.equal(asked.length, 1)
})

t.test('who asks while a lookup is under way shares its answer', async (t) => {
  const { find, asked } = createMemory()
  const both = [find('a'), find('a')]
  asked[0]?.answer(true)
  t.same(await Promise.all(both), [{ hash: 'a' }, { hash: 'a' }])
  t.equal(asked.length, 1)
})

for (const forget of ['forget', 'forgetAll'] as const) {
  t.test(`a lookup that a change overtakes (${forget}) is neither kept nor shared`, async (t) => {
    const memory = createMemory()
    const before = memory.find('a')
    memory[forget]('a')
    const after = memory.find('a')
    t.equal(memory.asked.length, 2)
    memory.asked[1]?.answer(false)
    t.equal(await after, undefined)
    memory.asked[0]?.answer(true)
    t.same(await before, { hash: 'a' })
    t.equal(memory.find('a'), undefined)
  })
}

t.test('what was known is asked again after a change, and what was unknown too', async (t) => {
  const { find, forget, asked } = createMemory()
  for (const isKnown of [true, false, true]) {
    const found = find('a')
    asked.at(-1)?.answer(isKnown)
    t.same(await found, isKnown ? { hash: 'a' } : undefined)
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
  asked[1]?.answer(true)
  t.same(await second, { hash: 'a' })
})

t.test('while it may not remember everything is asked, and nothing kept', async (t) => {
  const { find, asked, state } = createMemory()
  state.mayRemember = false
  for (const _ of [1, 2]) {
    const found = find('a')
    asked.at(-1)?.answer(true)
    t.same(await found, { hash: 'a' })
  }
  t.equal(asked.length, 2)
  state.mayRemember = true
  find('a')
  t.equal(asked.length, 3)
})

t.test('a flood of garbage drives out nothing that is known', async (t) => {
  const { find, asked } = createMemory({ size: 10 })
  const first = find('a')
  asked[0]?.answer(true)
  await first
  for (let i = 0; i < 1000; i++) {
    const found = find(`garbage ${i}`)
    asked.at(-1)?.answer(false)
    await found
  }
  t.same(find('a'), { hash: 'a' })
})

t.test('what is known is bounded: the longest unused goes', async (t) => {
  const { find, asked } = createMemory({ size: 2 })
  for (const key of ['a', 'b', 'a', 'c']) {
    const found = find(key)
    if (found instanceof Promise) asked.at(-1)?.answer(true)
    await found
  }
  t.same(find('a'), { hash: 'a' })
  t.same(find('c'), { hash: 'c' })
  t.ok(find('b') instanceof Promise)
})

import t from 'tap'
import { createInterning } from '../../src/credentials/store.ts'

t.test('equal values are created once, also with other values in between', async (t) => {
  let made = 0
  const listIn = createInterning((list: string[]) => {
    made += 1
    return list
  })
  const texts = ['["a"]', '["a"]', '["b"]', '["a"]', '["b"]', '["b"]']
  const [a, again, b, ...more] = texts.map((text) => listIn(text))
  t.same([a, b], [['a'], ['b']])
  t.equal(again, a)
  t.equal(more[0], a)
  t.equal(more[1], b)
  t.equal(more[2], b)
  t.equal(made, 2)
})

import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { openCursor, sealCursor } from '../../src/http/cursor.ts'

const key = randomBytes(32)
const position = fc.record({ value: fc.string({ unit: 'grapheme' }), id: fc.uuid() })

t.test('a cursor opens to the position it was sealed with, and fits into a URL', async () => {
  fc.assert(
    fc.property(fc.string(), position, (list, position) => {
      const cursor = sealCursor(key, list, position)
      t.match(cursor, /^[A-Za-z0-9_-]+$/)
      t.same(openCursor(key, list, cursor), position)
    }),
  )
})

t.test('a cursor of another list or another key does not open', async () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), position, (list, other, position) => {
      fc.pre(list !== other)
      t.equal(openCursor(key, other, sealCursor(key, list, position)), undefined)
      t.equal(openCursor(randomBytes(32), list, sealCursor(key, list, position)), undefined)
    }),
  )
})

t.test('a cursor that was modified, extended or truncated does not open', async () => {
  fc.assert(
    fc.property(position, fc.nat(), fc.base64String({ minLength: 1, maxLength: 4 }), (position, at, put) => {
      const cursor = sealCursor(key, 'list', position)
      const index = at % cursor.length
      const forged = cursor.slice(0, index) + put + cursor.slice(index + put.length)
      fc.pre(forged !== cursor)
      t.equal(openCursor(key, 'list', forged), undefined)
      t.equal(openCursor(key, 'list', cursor.slice(0, index)), undefined)
      t.equal(openCursor(key, 'list', cursor + put), undefined)
    }),
  )
})

t.test('text that was never issued as a cursor does not open', async () => {
  fc.assert(fc.property(fc.string(), (text) => t.equal(openCursor(key, 'list', text), undefined)))
})

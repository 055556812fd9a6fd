import fc from 'fast-check'
import t from 'tap'
import { formatCursor, parseCursor } from '../../src/shared/feed-cursor.ts'

t.test('a formatted cursor parses to the same value', async () => {
  const event = fc.string({ unit: fc.constantFrom(...'0123456789ABCDEF'), minLength: 8, maxLength: 8 })
  const position = fc.integer({ min: 0, max: 999_999_999_999_999 })
  fc.assert(
    fc.property(fc.record({ event, position }), (cursor) => {
      t.same(parseCursor(formatCursor(cursor)), cursor)
    }),
  )
})

t.test('a parsed cursor formats to the same text, and other text is rejected', async () => {
  const near = fc.string({ unit: fc.constantFrom(...'0123456789ABCDEF.-e '), maxLength: 26 })
  fc.assert(
    fc.property(fc.oneof(near, fc.string()), (text) => {
      const cursor = parseCursor(text)
      return cursor === undefined || Number.isSafeInteger(cursor.position)
    }),
  )
  for (const text of ['', '00000001', '00000001.', '.1', '0000000g.1', '00000001.1x', '00000001.-1', '1.1'])
    t.equal(parseCursor(text), undefined, text)
})

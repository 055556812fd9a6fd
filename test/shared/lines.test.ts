import { createHash } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { inBatchesOf, type Line, readLines } from '../../src/shared/lines.ts'
import { parseHash } from '../../src/shared/secret.ts'

async function* of<T>(items: T[]): AsyncGenerator<T> {
  yield* items
}

/** Cut into pieces of these lengths. */
function* cut(bytes: Buffer, lengths: number[]): Generator<Buffer> {
  let at = 0
  for (const length of lengths) {
    yield bytes.subarray(at, at + length)
    at += length
  }
  yield bytes.subarray(at)
}

async function read(chunks: Iterable<Buffer>, longest = 1000): Promise<Line[]> {
  const lines: Line[] = []
  for await (const some of readLines(of([...chunks]), longest)) lines.push(...some)
  return lines
}

const plain = (lines: Line[]) => lines.map(({ number, bytes }) => [number, bytes?.toString('latin1')])

t.test('a hash is read in hex, base64 and base64url, padded or not, and in no other form', async (t) => {
  const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(hash, (bytes) => {
      const [hex, base64, url] = [
        bytes.toString('hex'),
        bytes.toString('base64'),
        bytes.toString('base64url'),
      ]
      return [hex, hex.toUpperCase(), base64, base64.replace('=', ''), url, `${url}=`].every((text) =>
        parseHash(text)?.equals(bytes),
      )
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      if (bytes.length === 32) return true
      const buffer = Buffer.from(bytes)
      const isHash = (text: string) => parseHash(text) !== undefined
      return (
        !isHash(buffer.toString('base64')) &&
        !isHash(buffer.toString('base64url')) &&
        !isHash(buffer.toString('hex'))
      )
    }),
  )
  fc.assert(
    fc.property(
      hash,
      fc.nat(42),
      fc.constantFrom(' ', '\n', '.', '%', 'é', '\0', '='),
      (bytes, at, wrong) => {
        const text = bytes.toString('base64')
        return parseHash(text.slice(0, at) + wrong + text.slice(at + 1)) === undefined
      },
    ),
  )
  const text = createHash('sha256').update('x').digest('base64')
  for (const wrong of [
    '',
    text.slice(1),
    `${text}=`,
    ` ${text}`,
    `${text}\n`,
    `sha256:${text}`,
    `${'A'.repeat(42)}B=`,
  ])
    t.equal(parseHash(wrong), undefined, JSON.stringify(wrong))
  t.equal(parseHash(`-${'A'.repeat(41)}+`), undefined, 'the letters of both alphabets')
})

t.test('lines are the same in whatever pieces they arrive', async (t) => {
  const line = fc.oneof(
    fc.constantFrom('', ' ', '\t\r', '{}', '{}\r', '\xEF\xBB\xBF{}', '\xEF\xBB\xBF', '\xA0', 'x'.repeat(40)),
    fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
      maxLength: 50,
    }),
  )
  const text = fc.array(line, { maxLength: 12 }).map((lines) => Buffer.from(lines.join('\n'), 'latin1'))
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.nat(20), { maxLength: 60 }), async (bytes, lengths) => {
      const expected = bytes
        .toString('latin1')
        .split('\n')
        .map((line, index) => {
          if (line.length > 30) return [index + 1, undefined]
          return [index + 1, index === 0 ? line.replace(/^\xEF\xBB\xBF/, '') : line]
        })
        .filter(([, line]) => line === undefined || /[^ \t\r]/.test(String(line)))
      t.same(plain(await read(cut(bytes, lengths), 30)), expected)
    }),
  )
})

t.test('a line that is too long is skipped, and the next one counts', async (t) => {
  const longest = 1000
  async function* endless(): AsyncGenerator<Buffer> {
    for (let i = 0; i < 5000; i++) yield Buffer.alloc(1024, 'x')
    yield Buffer.from('\n{}\n')
  }
  const lines: Line[] = []
  for await (const some of readLines(endless(), longest)) lines.push(...some)
  t.same(plain(lines), [
    [1, undefined],
    [2, '{}'],
  ])
})

t.test('a line may be exactly as long as allowed', async (t) => {
  for (const pieces of [[], [1], [500, 499], Array(999).fill(1)]) {
    t.same(plain(await read(cut(Buffer.from(`${'x'.repeat(1000)}\n`), pieces))), [[1, 'x'.repeat(1000)]])
    t.same(plain(await read(cut(Buffer.from(`${'x'.repeat(1001)}\n`), pieces))), [[1, undefined]])
  }
})

t.test('batches keep every line in order, within both limits', async (t) => {
  const lines = fc
    .array(fc.nat(40), { maxLength: 60 })
    .map((lengths) => lengths.map((length, number): Line => ({ number, bytes: Buffer.alloc(length) })))
  await fc.assert(
    fc.asyncProperty(lines, fc.nat(9), async (lines, size) => {
      const arriving = lines.map((line) => [line])
      const batches: Line[][] = []
      for await (const batch of inBatchesOf(of(arriving), { lines: size + 1, bytes: 100 }))
        batches.push(batch)
      t.same(batches.flat(), lines)
      return batches.every((batch) => {
        const bytes = batch.slice(0, -1).reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0)
        return batch.length > 0 && batch.length <= size + 1 && bytes < 100
      })
    }),
  )
})

/** Without its line break; undefined if it is longer than allowed. */
export type Line = { number: number; bytes: Buffer | undefined }

const lineFeed = 10
const blank = /^[ \t\r]*$/
const byteOrderMark = Buffer.from('\uFEFF')

/**
 * The lines of a stream that are not blank, as many at a time as have arrived. Memory is bounded by the longest line
 * that is allowed, regardless of the size of the chunks.
 */
export async function* readLines(chunks: AsyncIterable<Buffer>, longest: number): AsyncGenerator<Line[]> {
  let number = 0
  /** The start of a line whose end has not arrived. */
  let held = Buffer.alloc(0)
  let length = 0

  function hold(piece: Buffer): void {
    const end = length + piece.length
    if (end > longest) held = Buffer.alloc(0)
    else {
      // Twice as much as is needed, since a line may arrive byte by byte.
      if (end > held.length) held = Buffer.concat([held.subarray(0, length)], Math.min(2 * end, longest))
      piece.copy(held, length)
    }
    length = end
  }

  function* endLine(piece: Buffer): Generator<Line> {
    number += 1
    if (length > 0) hold(piece)
    const whole = length > 0 ? held.subarray(0, length) : piece
    const isTooLong = Math.max(length, piece.length) > longest
    const hasMark = number === 1 && whole.indexOf(byteOrderMark) === 0
    const bytes = hasMark ? whole.subarray(byteOrderMark.length) : whole
    // A line that was yielded must not be overwritten by the next one.
    if (length > 0) held = Buffer.alloc(0)
    length = 0
    if (isTooLong) yield { number, bytes: undefined }
    else if (!blank.test(bytes.toString('latin1'))) yield { number, bytes }
  }

  for await (const chunk of chunks) {
    const lines: Line[] = []
    let start = 0
    for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, start)) {
      lines.push(...endLine(chunk.subarray(start, at)))
      start = at + 1
    }
    hold(chunk.subarray(start))
    if (lines.length > 0) yield lines
  }
  if (length > 0) {
    const rest = [...endLine(Buffer.alloc(0))]
    if (rest.length > 0) yield rest
  }
}

/** The same lines in batches, which are limited in lines and bytes. */
export async function* inBatchesOf(
  arriving: AsyncIterable<Line[]>,
  most: { lines: number; bytes: number },
): AsyncGenerator<Line[]> {
  let batch: Line[] = []
  let bytes = 0
  for await (const lines of arriving) {
    for (const line of lines) {
      batch.push(line)
      bytes += line.bytes?.length ?? 0
      if (batch.length < most.lines && bytes < most.bytes) continue
      yield batch
      batch = []
      bytes = 0
    }
  }
  if (batch.length > 0) yield batch
}

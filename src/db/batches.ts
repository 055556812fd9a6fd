/** How many rows one statement of a long job handles, so that it stays within the time limit and holds few locks. */
export const batchSize = 1000

/** Inserts rows in their order. One statement for all could have more than the 65,535 parameters of the protocol. */
export async function insertInBatches<Row>(
  rows: Row[],
  insert: (some: Row[]) => Promise<unknown>,
): Promise<void> {
  for (let start = 0; start < rows.length; start += batchSize)
    await insert(rows.slice(start, start + batchSize))
}

/** Repeats a statement that handles at most `batchSize` rows until it finds fewer, and returns how many there were. */
export async function inBatches(handle: () => Promise<number>): Promise<number> {
  let total = 0
  for (;;) {
    const handled = await handle()
    total += handled
    if (handled < batchSize) return total
  }
}

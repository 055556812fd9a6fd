/** How many rows one statement of a long job handles, so that it stays within the time limit and holds few locks. */
export const batchSize = 1000

/** Repeats a statement that handles at most `batchSize` rows until it finds fewer, and returns how many there were. */
export async function inBatches(handle: () => Promise<number>): Promise<number> {
  let total = 0
  for (;;) {
    const handled = await handle()
    total += handled
    if (handled < batchSize) return total
  }
}

import pg from 'pg'
import { type Db, isUnavailable } from './database.ts'

/** Fewer than a transaction announces one by one (migrations/0002); what comes on top goes with the next statement. */
const mostTogether = 50

export type Ways<Item, Result> = {
  /**
   * By one statement, for items of whoever asks at the time. It must not wait for what one of them waits for, or an
   * organization could keep all others waiting: undefined for an item that it left alone.
   */
  all(db: Db, items: Item[]): Promise<(Result | undefined)[]>
  /** For an item that was left alone. */
  one(db: Db, item: Item): Promise<Result | undefined>
}

type Waiting<Item, Result> = {
  item: Item
  resolve(result: Result | undefined): void
  reject(error: unknown): void
}

/**
 * Does together what several requests want of the database at a time: what comes in while a statement is on its way is
 * left to the next one. So there are the fewer statements, and commits, the more there is to do. One item that
 * cannot be stored does not take the others with it.
 */
export function coalesce<Item, Result>({
  all,
  one,
}: Ways<Item, Result>): (db: Db, item: Item) => Promise<Result | undefined> {
  const queues = new WeakMap<Db, Waiting<Item, Result>[]>()

  function join(db: Db, item: Item): Promise<Result | undefined> {
    return new Promise((resolve, reject) => {
      const waiting = { item, resolve, reject }
      const queue = queues.get(db)
      if (queue) queue.push(waiting)
      else {
        const begun = [waiting]
        queues.set(db, begun)
        setImmediate(work, db, begun)
      }
    })
  }

  async function work(db: Db, queue: Waiting<Item, Result>[]): Promise<void> {
    while (queue.length > 0) {
      const taken = queue.splice(0, mostTogether)
      const items = taken.map(({ item }) => item)
      try {
        const results = await all(db, items)
        for (const [index, { resolve }] of taken.entries()) resolve(results[index])
      } catch (error) {
        if (isUnfit(error) || isConflict(error)) for (const { resolve } of taken) resolve(undefined)
        else for (const { reject } of taken) reject(error)
        // Who waited behind a database that does not answer has waited as long.
        if (isUnavailable(error)) for (const { reject } of queue.splice(0)) reject(error)
      }
    }
    queues.delete(db)
  }

  return async (db, item) => (await join(db, item)) ?? one(db, item)
}

/** SQLSTATE classes 22 (data exception) and 23 (constraint violation): nothing was done, on account of one item. */
function isUnfit(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^2[23]/.test(error.code ?? '')
}

/** Two transactions could not both go on (SQLSTATE 40001, 40P01): nothing was done, and alone each may succeed. */
function isConflict(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^40(001|P01)$/.test(error.code ?? '')
}

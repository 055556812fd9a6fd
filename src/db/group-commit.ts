import pg from 'pg'
import { type Context, traced, tracing } from '../shared/tracing.ts'
import { type Db, isUnavailable } from './database.ts'

/**
 * Less than the number above which a transaction announces 'all' instead of each hash (migrations/0002); the rest goes
 * into the next statement.
 */
const maxTogether = 50

export type Ways<Item, Result> = {
  /**
   * Handles items of several requests in one statement. Returns undefined for each item it would have to wait for:
   * otherwise one organization's locks could delay all others.
   */
  all(db: Db, items: Item[]): Promise<(Result | undefined)[]>
  /** Handles one item for which `all` returned undefined. */
  one(db: Db, item: Item): Promise<Result | undefined>
}

type Waiting<Item, Result> = {
  item: Item
  resolve(result: Result | undefined): void
  reject(error: unknown): void
  /** The requests whose traces it belongs to. */
  of: Context[]
}

/**
 * Group commit: what arrives while a statement is in flight is collected for the next one. The higher the load, the
 * fewer statements and commits per item. An item that cannot be stored does not fail the others.
 */
export function coalesce<Item, Result>({
  all,
  one,
}: Ways<Item, Result>): (db: Db, item: Item) => Promise<Result | undefined> {
  const queues = new WeakMap<Db, Waiting<Item, Result>[]>()

  function join(db: Db, item: Item): Promise<Result | undefined> {
    return new Promise((resolve, reject) => {
      const waiting = { item, resolve, reject, of: tracing?.requesters() ?? [] }
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
      const taken = queue.splice(0, maxTogether)
      const items = taken.map(({ item }) => item)
      try {
        const of = taken.flatMap((one) => one.of)
        const attributes = { 'counterfoil.batch.size': items.length }
        const results = await traced('coalesced batch', { of, attributes }, () => all(db, items))
        for (const [index, { resolve }] of taken.entries()) resolve(results[index])
      } catch (error) {
        if (isUnfit(error) || isConflict(error)) for (const { resolve } of taken) resolve(undefined)
        else for (const { reject } of taken) reject(error)
        // The database is unavailable: items queued behind this statement have waited as long, so they fail too.
        if (isUnavailable(error)) for (const { reject } of queue.splice(0)) reject(error)
      }
    }
    queues.delete(db)
  }

  return async (db, item) => {
    const result = await (tracing
      ? tracing.waiting('coalesced statement', () => join(db, item))
      : join(db, item))
    return result === undefined ? one(db, item) : result
  }
}

/**
 * SQLSTATE classes 22 (data exception) and 23 (constraint violation): one item is at fault, and nothing was written.
 */
function isUnfit(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^2[23]/.test(error.code ?? '')
}

/** Conflicting transactions (SQLSTATE 40001, 40P01): nothing was written, and each item may succeed on its own. */
function isConflict(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^40(001|P01)$/.test(error.code ?? '')
}

import pg from 'pg'

type Done = (error: Error | null, result?: pg.QueryResult) => void

/**
 * Connections that give up on a statement after `ms`, and then on themselves: what comes over them later would answer
 * nobody. pg has a time limit and promises of its own, but with either of them an answer stays in memory until the
 * next full collection, since pg makes a function right where it assigns it to a member, and V8 takes what is made there
 * for long-lived, with all that it refers to.
 */
export function clientWithin(ms: number): typeof pg.Client {
  return class extends pg.Client {
    override query = ((query: string | pg.QueryConfig, values?: unknown[], done?: Done) => {
      if (done) return this.#ask(query, values, done)
      return new Promise((resolve, reject) => {
        this.#ask(query, values, (error, result) => (error ? reject(error) : resolve(result)))
      })
    }) as pg.Client['query']

    #ask(query: string | pg.QueryConfig, values: unknown[] | undefined, done: Done): void {
      const timer = setTimeout(() => {
        done(new Error('Query read timeout'))
        this.connection.stream.destroy()
      }, ms)
      const answered: Done = (error, result) => {
        clearTimeout(timer)
        done(error, result)
      }
      super.query(query as string, values as unknown[], answered)
    }
  }
}

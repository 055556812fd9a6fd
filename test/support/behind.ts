import { sql, type Transaction } from 'kysely'
import type { Db } from '../../src/db/database.ts'
import type { Tables } from '../../src/db/tables.ts'

/**
 * The response to a request that arrives while `change` is in progress in another transaction, and has to wait for it.
 */
export async function behind<Answer>(
  db: Db,
  change: (tx: Transaction<Tables>) => Promise<unknown>,
  request: () => Promise<Answer>,
): Promise<Answer> {
  let answer: Promise<Answer> | undefined
  let early: Answer | undefined
  await db.transaction().execute(async (tx) => {
    await change(tx)
    answer = request()
    void answer.then((given) => {
      early = given
    })
    while (!(await hasWaiting(db))) {
      if (early) throw new Error(`the request did not wait: ${JSON.stringify(early)}`)
    }
  })
  return (await answer) as Answer
}

async function hasWaiting(db: Db): Promise<boolean> {
  const { rows } = await sql`
    select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(db)
  return rows.length > 0
}

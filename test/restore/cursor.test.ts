import { dirname, join } from 'node:path'
import t from 'tap'
import { bootstrap } from '../../src/bootstrap.ts'
import { createDb, type Db } from '../../src/db/database.ts'
import { startEmbedded } from '../../src/embedded-postgres/installation.ts'
import { readFeed } from '../../src/revocations/revocations.ts'
import { generateSecret } from '../../src/shared/secret.ts'
import { copyDirectory, preparedDirectory } from '../support/embedded.ts'

/** Runs PostgreSQL in the data directory for the time of the work. */
async function withDatabase<T>(directory: string, work: (db: Db) => Promise<T>): Promise<T> {
  const server = await startEmbedded(directory)
  const db = createDb({ url: server.url, poolSize: 1 })
  try {
    return await work(db)
  } finally {
    await db.destroy()
    await server.stop()
  }
}

const change = (db: Db) => db.updateTable('tokens').set({ notBefore: new Date() }).execute()

t.test('a cursor of an event that a restore undid stays invalid when new events pass it', async (t) => {
  const directory = await preparedDirectory(t)
  const backup = join(dirname(directory), 'backup')
  const kept = await withDatabase(directory, async (db) => {
    await bootstrap(db, new Date(), generateSecret('cfm'), { withExamples: false })
    await change(db)
    return (await readFeed(db, undefined, 0)).cursor
  })
  // The server is stopped, so the copy is a complete backup, of the same system identifier and timeline.
  await copyDirectory(directory, backup)
  const undone = await withDatabase(directory, async (db) => {
    await change(db)
    return (await readFeed(db, kept, 10)).cursor
  })
  await withDatabase(backup, async (db) => {
    t.match(await readFeed(db, undone, 10), { gone: true }, 'before')
    await change(db)
    await change(db)
    t.match(await readFeed(db, undone, 10), { gone: true }, 'after')
    const { gone, events, newest } = await readFeed(db, kept, 10)
    t.match({ gone, events }, { gone: false, events: { length: 2 } })
    t.ok(newest.position > undone.position)
  })
})

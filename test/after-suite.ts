import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { testServer } from './runner/test-server.ts'
import { databaseUrl } from './support/postgres-server.ts'
import { searchFor } from './support/search.ts'

const records = process.env.TEST_RECORDS ?? ''
const { url: server, template } = await testServer()
const secrets = new Set((await readFile(join(records, 'secrets'), 'utf8')).split('\n').filter(Boolean))
const secretsIn = searchFor(secrets)

t.test('the search finds a secret at any position', async (t) => {
  const search = searchFor(['ab_cdefgh', 'ij_klmnop', 'qr_cdefgh'])
  for (const before of ['', '"', '"x', '"xy', '"xyz'])
    for (const after of ['', 'x": b_cdefgh, ij_klmno'])
      for (let skipped = 0; skipped < 4; skipped++) {
        const text = Buffer.from(`${'-'.repeat(skipped)}${before}ab_cdefgh${after}`)
        t.same(search(text.subarray(skipped)), ['ab_cdefgh'])
      }
  t.same(search(Buffer.from('qr_cdefgh, ij_klmnop')), ['qr_cdefgh', 'ij_klmnop'])
})

t.test('no secret issued in the whole suite was logged', async (t) => {
  const logs = await readFile(join(records, 'logs'))
  t.ok(secrets.size > 0 && logs.length > 0, 'there is something to search')
  t.same(secretsIn(logs), [])
})

t.test('no secret issued in the whole suite is in any database', async (t) => {
  const admin = new pg.Client({ connectionString: server })
  await admin.connect()
  const databases = await admin.query('select datname from pg_database where starts_with(datname, $1)', [
    `${template}_`,
  ])
  await admin.end()
  t.ok(databases.rows.length > 0, 'there is something to search')
  const names = databases.rows.map(({ datname }) => datname)
  const searchNext = async () => {
    for (let name = names.pop(); name; name = names.pop())
      t.same(secretsIn(await dumpOf(databaseUrl(server, name))), [], { name })
  }
  // PostgreSQL reads some while others are searched.
  await Promise.all([searchNext(), searchNext(), searchNext(), searchNext()])
})

/** Every row of every table, with byte strings as text too: what a pg_dump would contain. */
async function dumpOf(url: string): Promise<Buffer> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query("set bytea_output = 'escape'")
  const { rows: tables } = await client.query(
    "select format('%I', tablename) as name from pg_tables where schemaname = 'public'",
  )
  const copies = new pg.Query(tables.map(({ name }) => `copy ${name} to stdout`).join(';'))
  const rows: Buffer[] = []
  // Not as a result, in which every value would become a string. The buffer of a row is used again.
  Object.assign(copies, { handleCopyData: ({ chunk }: { chunk: Buffer }) => rows.push(Buffer.from(chunk)) })
  client.query(copies)
  await once(copies, 'end')
  await client.end()
  return Buffer.concat(rows)
}

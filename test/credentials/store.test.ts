import fc from 'fast-check'
import { sql } from 'kysely'
import t from 'tap'
import { selectCredentials } from '../../src/credentials/store.ts'
import { openPipeline } from '../../src/db/pipeline.ts'
import { Secret } from '../../src/shared/secret.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const pipeline = openPipeline({
  url: world.databaseUrl,
  connectMs: 5_000,
  queryMs: 5_000,
  prepares: true,
  onError: (error) => t.error(error),
})
t.teardown(() => pipeline.end())

t.test('a credential is read as it was stored, to the millisecond', async (t) => {
  const { id, secret } = await world.issue()
  const hash = new Secret(secret).hashText()
  const unknown = new Secret('unknown').hashText()
  const instant = fc.date({ min: new Date(-1e13), max: new Date(1e14), noInvalidDate: true })
  await fc.assert(
    fc.asyncProperty(fc.string({ minLength: 1, unit: 'grapheme' }), instant, async (text, expiresAt) => {
      const name = text.replaceAll('\0', '')
      await world.db.updateTable('tokens').set({ name, expiresAt }).where('id', '=', id).execute()
      const { credentials: found } = await selectCredentials(pipeline, [unknown, hash])
      t.equal(found.length, 2)
      t.equal(found[0], undefined)
      t.match(found[1], { hash, tokenId: id, name, expiresAt })
    }),
  )
})

for (const [column, value, active] of [
  ['expires_at', '-infinity', false],
  ['expires_at', '0044-03-15 12:00 BC', false],
  ['expires_at', 'infinity', true],
  ['expires_at', '290000-01-01', true],
  ['not_before', 'infinity', false],
  ['not_before', '290000-01-01', false],
  ['not_before', '-infinity', true],
  ['revoked_at', '-infinity', false],
  ['revoked_at', 'infinity', false],
] as const) {
  t.test(`${column} of ${value}, set by SQL, makes a token ${active ? 'active' : 'inactive'}`, async (t) => {
    const { id, secret } = await world.issue()
    await sql`update tokens set ${sql.ref(column)} = ${value} where id = ${id}`.execute(world.db)
    t.equal((await world.introspect(secret)).active, active)
  })
}

import t from 'tap'
import { deleteExpiredAssertions } from '../../src/client-keys/assertion.ts'
import type { Db } from '../../src/db/database.ts'
import { deleteExpiredAnswers } from '../../src/idempotency/idempotency.ts'
import { deleteOldRevocations } from '../../src/revocations/revocations.ts'
import { affectedBy } from '../support/plans.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const now = new Date('2026-06-01T00:00:00Z')

type CleanUp = {
  run: (db: Db, now: Date) => Promise<void>
  table: string
  /** Creates $1 old rows. */
  old: string
}

const cleanUps: Record<string, CleanUp> = {
  'answers for an Idempotency-Key': {
    run: deleteExpiredAnswers,
    table: 'idempotency_keys',
    old: `insert into idempotency_keys (hash, organization_id, fingerprint, expires_at)
      select sha256(i::text::bytea), (select id from organizations where key = 'default'), sha256(''), '2026-05-01'
      from generate_series(1, $1) i`,
  },
  'client assertions': {
    run: deleteExpiredAssertions,
    table: 'client_assertions',
    old: `insert into client_assertions (token_id, jti_hash, expires_at)
      select gen_random_uuid(), sha256(i::text::bytea), '2026-05-01' from generate_series(1, $1) i`,
  },
  revocations: {
    run: deleteOldRevocations,
    table: 'revocations',
    old: `insert into revocations (reason, position, at)
      select 'reset', nextval('revocation_positions'), '2026-05-01' from generate_series(1, $1)`,
  },
}

const young: Record<string, string> = {
  idempotency_keys: `insert into idempotency_keys (hash, organization_id, fingerprint, expires_at)
    select sha256('young'), id, sha256(''), '2026-06-02' from organizations where key = 'default'`,
  client_assertions: `insert into client_assertions values (gen_random_uuid(), sha256('young'), '2026-06-02')`,
  revocations: `insert into revocations (reason, position, at)
    select 'reset', nextval('revocation_positions'), '2026-06-01' from generate_series(1, 2)`,
}

for (const [what, { run, table, old }] of Object.entries(cleanUps)) {
  t.test(`all old ${what} are deleted, by statements of at most 1,000 rows`, async (t) => {
    await world.sql(`delete from ${table}`)
    await world.sql(old, [2500])
    await world.sql(young[table] as string)
    const deleted = await affectedBy(world.db, (db) => run(db, now))
    t.same(deleted, [1000, 1000, 500])
    const { rows } = await world.sql(`select count(*)::int as left from ${table}`)
    t.equal(rows[0].left, table === 'revocations' ? 2 : 1, 'what is not old is still there')
  })
}

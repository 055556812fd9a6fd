// Temporary errors of PostgreSQL become 503 with Retry-After, in every operation.
import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { secret } = await world.issue()
const tokens = '/v1/organizations/default/tokens'

// A row security policy that raises the configured error for every statement on these tables.
await world.sql(`create function fail() returns boolean language plpgsql as $$
  begin
    raise exception 'on purpose' using errcode = (select code from failure);
  end $$;
  create table failure (code text)`)
for (const table of ['tokens', 'token_secrets', 'revocations', 'kysely_migration']) {
  await world.sql(`create policy failing on ${table} using (fail()) with check (fail())`)
}
const failing = async (action: 'enable' | 'disable', force: 'force' | 'no force') => {
  for (const table of ['tokens', 'token_secrets', 'revocations', 'kysely_migration'])
    await world.sql(`alter table ${table} ${action} row level security, ${force} row level security`)
}

const transient = [
  ...['08000', '08006', '08P01', '25006', '25P03', '25P04', '26000', '40001', '40003', '40P01', '42P05'],
  ...['53000', '53100', '53200', '53300', '53400', '55P03', '57000', '57014', '57P01', '57P02', '57P03'],
  ...['57P04', '57P05', '58000', '58030'],
]
const defects = ['42P01', '42703', '42501', '22P02', 'XX000']

const operations = {
  'a read': () => world.ask('GET', tokens),
  'a write': () => world.ask('POST', tokens, { body: { name: 'New', type: 'api' } }),
  introspection: () => world.ask('POST', '/introspect', { form: { token: secret } }),
  revocation: () => world.ask('POST', '/revoke', { form: { token: secret } }),
  'the feed': () => world.ask('GET', '/v1/revocations'),
  readiness: () => world.ask('GET', '/readyz', { token: '' }),
}

for (const [codes, status] of [
  [transient, 503],
  [defects, 500],
] as const) {
  t.test(`${codes.join(', ')} are ${status}`, async (t) => {
    for (const code of codes) {
      await world.sql('delete from failure')
      await world.sql('insert into failure values ($1)', [code])
      await failing('enable', 'force')
      // Cached tokens need no database.
      await world.sql("select pg_notify('counterfoil_changes', 'all')")
      for (const [name, operation] of Object.entries(operations)) {
        const answer = await operation()
        // A service whose queries fail is not ready, whatever the reason.
        t.equal(answer.status, name === 'readiness' ? 503 : status, `${code}: ${name}`)
        if (answer.status === 503) t.ok(Number(answer.headers['retry-after']) > 0)
      }
      await failing('disable', 'no force')
      t.equal((await operations.introspection()).body.active, true, 'and all is well when it is over')
    }
  })
}

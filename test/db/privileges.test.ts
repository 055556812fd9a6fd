import pg from 'pg'
import t from 'tap'
import { createDb } from '../../src/db/database.ts'
import { missingGrants } from '../../src/db/privileges.ts'
import { failureOf } from '../support/command.ts'
import { createDatabaseWithServiceRole, execute } from '../support/database.ts'
import { freePort, run, said } from '../support/process.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld } from '../support/world.ts'

const ADMIN_TOKEN = 'an-administrator-token-of-the-privilege-tests'

async function query(url: string, text: string): Promise<any[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
    .query(text)
    .then(({ rows }) => rows)
    .finally(() => client.end())
}

t.test('the documented privileges are enough for everything', async (t) => {
  const { service, owner } = await createDatabaseWithServiceRole()
  const world = await createWorld(t, { databaseUrl: service })
  const statuses: Record<string, number> = {}
  const ask = async (method: string, path: string, more?: object) => {
    const answer = await world.ask(method, path, more)
    statuses[`${method} ${path}`] = answer.status
    if (answer.status >= 300) t.comment(answer.text)
    return answer
  }
  const organization = '/v1/organizations/default'
  const [kept, revoked, deleted] = [await world.issue(), await world.issue(), await world.issue()]
  t.match(await world.introspect(kept.secret), { active: true })
  await world.usage.flush()
  await ask('POST', `${organization}/tokens/${revoked.id}/revoke`, { body: { reason: 'Test' } })
  await ask('DELETE', `${organization}/tokens/${deleted.id}`)
  const jwtType = { name: 'jwt', format: 'jwt', status_list: true, audience: ['https://api.example'] }
  await ask('POST', '/v1/token-types', { body: jwtType })
  const jwt = await world.issue({ type: 'jwt' })
  t.match(await world.introspect(jwt.secret), { active: true })
  await ask('POST', `${organization}/tokens/${jwt.id}/revoke`, { body: {} })
  t.match(await world.introspect(jwt.secret), { active: false })
  await ask('GET', `${organization}/policy`)
  await ask('PUT', `${organization}/policy`, { body: { creation: { sso_users: false } } })
  await ask('GET', '/v1/revocations')
  await ask('GET', `${organization}/audit-events`)
  await ask('POST', '/v1/organizations', { body: { key: 'gone', name: 'Gone' } })
  await world.issue({ type: 'api' }, 'gone')
  await ask('POST', '/v1/organizations/gone/suspend')
  await ask('DELETE', '/v1/organizations/gone')
  t.same(
    Object.entries(statuses).filter(([, status]) => status >= 300),
    [],
  )
  t.match(
    await query(owner, 'select count(*)::integer as noted from revocations where position is not null'),
    [{ noted: 6 }],
  )
})

t.test('the change log cannot be altered with the documented privileges', async (t) => {
  const { service } = await createDatabaseWithServiceRole()
  for (const change of [
    'update audit_events set action = action',
    'delete from audit_events',
    'truncate audit_events',
    'alter table audit_events disable trigger all',
    'drop table audit_events',
    'update log_leaves set hash = hash',
    'delete from log_leaves',
    'update log_nodes set hash = hash',
    'delete from log_nodes',
  ])
    await t.rejects(query(service, change), { code: '42501' }, change)
})

t.test('tables and sequences that a later migration adds are included', async () => {
  const { owner, service } = await createDatabaseWithServiceRole()
  await execute(owner, 'create table added (id bigserial, name text)')
  await query(
    service,
    `insert into added (name) values ('new'); update added set name = 'newer'; delete from added`,
  )
})

t.test('each missing privilege is reported with the statement that grants it', async (t) => {
  const { owner, role, service } = await createDatabaseWithServiceRole()
  const db = createDb({ url: service, poolSize: 1 })
  t.teardown(() => db.destroy())
  t.same(await missingGrants(db), [])
  // The granted privileges according to the catalog. Of Kysely's tables only the list of migrations is read, and
  // identity columns need no privilege on their sequences.
  const granted: { privilege: string; kind: string; name: string }[] = await query(
    owner,
    `select lower(privilege_type) as privilege, case relkind when 'S' then 'sequence' else 'table' end as kind, relname as name
     from pg_class, aclexplode(relacl) where grantee = '${role}'::regrole
       and (relname not like 'kysely%' or relname = 'kysely_migration' and privilege_type = 'SELECT')
       and not exists (select from pg_depend where objid = pg_class.oid and deptype = 'i')
     union all
     select 'execute', 'function', oid::regprocedure::text from pg_proc
     where pronamespace = 'public'::regnamespace and prorettype <> 'trigger'::regtype`,
  )
  t.ok(granted.length > 60, `${granted.length} privileges`)
  t.ok(['table', 'sequence', 'function'].every((kind) => granted.some((row) => row.kind === kind)))
  for (const { privilege, kind, name } of granted) {
    await execute(owner, `revoke ${privilege} on ${kind} ${name} from ${role}, public`)
    const statements = await missingGrants(db)
    const spaced = name.replaceAll(',', ', ')
    t.same(statements, [`grant ${privilege} on ${kind} ${spaced} to ${role}`])
    await execute(owner, statements.join(';'))
    t.same(await missingGrants(db), [], 'the statement gives it')
  }
  await execute(owner, `revoke usage on schema public from ${role}, public`)
  t.same(await missingGrants(db), [`grant usage on schema public to ${role}`])
  await execute(
    owner,
    `grant usage on schema public to ${role}; revoke all on all tables in schema public from ${role}`,
  )
  t.match(await missingGrants(db), [
    /^grant select on table kysely_migration to /,
    /^grant select, insert on table audit_events, log_leaves, log_nodes to /,
    /^grant select, insert, update, delete on table active_count_changes, active_counts, client_assertions, /,
  ])
})

t.test('a service whose role lacks a privilege does not start, and says what to grant', async (t) => {
  recordSecret(ADMIN_TOKEN)
  const { owner, role, service } = await createDatabaseWithServiceRole()
  const env = { DATABASE_URL: service, ADMIN_TOKEN, MIGRATE: 'false', PORT: `${await freePort()}` }
  await execute(owner, `revoke usage on sequence revocation_positions from ${role}`)
  const refused = await failureOf([], env)
  const statement = `grant usage on sequence revocation_positions to ${role}`
  t.match(refused, { code: 78, message: new RegExp(`^The role .* lacks privileges.*: ${statement};$`) })
  await execute(owner, statement)
  await said(run(t, [], env), 'Server listening')
})

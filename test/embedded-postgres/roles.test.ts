import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { resultOf } from '../support/command.ts'
import { newDirectory, preparedDirectory, query, start, superuserUrl } from '../support/embedded.ts'
import { freePort, run, said } from '../support/process.ts'
import { recordSecret } from '../support/records.ts'

/** Statements that would let the service alter the change log, or give it the privileges to. */
const forbidden = [
  'update audit_events set action = action',
  'delete from audit_events',
  'truncate audit_events',
  'begin; lock table audit_events in access exclusive mode',
  'alter table audit_events disable trigger all',
  'alter table audit_events owner to counterfoil_service',
  'drop table audit_events',
  'drop trigger audit_events_append_only on audit_events',
  'create rule forget as on insert to audit_events do instead nothing',
  'create trigger forget before insert on audit_events for each row execute function refuse_audit_change()',
  'create or replace function refuse_audit_change() returns trigger language plpgsql as $$ begin return null; end $$',
  'set session_replication_role = replica',
  'set role counterfoil',
  'set session authorization postgres',
  'grant counterfoil to counterfoil_service',
  "alter role counterfoil password 'guess'",
  'alter role counterfoil_service superuser',
  'create role another superuser',
  'create table another (id integer)',
  'create schema another',
  'create database another',
  'alter database counterfoil owner to counterfoil_service',
  'alter system set fsync = off',
  'select rolpassword from pg_authid',
  "select pg_read_file('postgresql.conf')",
  "copy audit_events to program 'cat'",
]

/** Starts the service, has it create, introspect and revoke a token, and calls `meanwhile` before it stops. */
async function serve(
  t: Test,
  dataDir: string,
  { env = {}, meanwhile }: { env?: Record<string, string>; meanwhile?: () => Promise<void> } = {},
): Promise<void> {
  const port = await freePort()
  const service = run(t, [], { DATA_DIR: dataDir, PORT: String(port), ...env })
  await said(service, 'Counterfoil is running')
  const admin = (await readFile(join(dataDir, 'admin-token'), 'utf8')).trim()
  recordSecret(admin)
  const post = async (path: string, body: URLSearchParams | string) => {
    const headers = {
      authorization: `Bearer ${admin}`,
      ...(typeof body === 'string' && { 'content-type': 'application/json' }),
    }
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers, body })
    t.ok(response.ok, `${path} is answered with ${response.status}`)
    return (await response.json()) as { id: string; secret: string; active: boolean }
  }
  const tokens = '/v1/organizations/default/tokens'
  const { id, secret } = await post(tokens, JSON.stringify({ name: 'Of the roles', type: 'api' }))
  recordSecret(secret)
  t.match(await post('/introspect', new URLSearchParams({ token: secret })), { active: true })
  await post(`${tokens}/${id}/revoke`, '{}')
  t.match(await post('/introspect', new URLSearchParams({ token: secret })), { active: false })
  await meanwhile?.()
  service.child.kill('SIGTERM')
  t.match(await service.exit, { code: 0 })
}

async function urlsOf(t: Test, dataDir: string) {
  const { url, serviceUrl } = await start(t, dataDir)
  return { owner: url, service: serviceUrl, superuser: await superuserUrl(url, dataDir) }
}

async function onlyItsOwnPasswordWorks(t: Test, urls: Record<string, string>): Promise<void> {
  for (const [role, url] of Object.entries(urls)) {
    for (const [other, { password }] of Object.entries(urls).map(
      ([name, url]) => [name, new URL(url)] as const,
    )) {
      const attempt = new URL(url)
      attempt.password = password
      const outcome = await query(attempt.href, 'select').then(
        () => 'connected',
        ({ code }) => code,
      )
      t.equal(outcome, other === role ? 'connected' : '28P01', `${role} with the password of ${other}`)
    }
  }
}

async function cannotAlterTheChangeLog(t: Test, service: string): Promise<void> {
  for (const statement of forbidden) await t.rejects(query(service, statement), { code: '42501' }, statement)
  const privileges = await query(
    service,
    `select privilege_type as privilege from pg_class, aclexplode(relacl)
     where oid = 'audit_events'::regclass and grantee = current_user::regrole order by privilege`,
  )
  t.same(privileges, [{ privilege: 'INSERT' }, { privilege: 'SELECT' }])
}

/** The tests use it one after another. */
const used = await preparedDirectory(t)

for (const WORKERS of ['1', '2'])
  t.test(
    `with WORKERS=${WORKERS}, requests are served by a role that cannot alter the change log`,
    async (t) => {
      const meanwhile = async () => {
        const port = (await readFile(join(used, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[3]
        const superuser = await superuserUrl(`postgres://127.0.0.1:${port}`, used)
        const sessions = await query(
          superuser,
          `select distinct usename as role from pg_stat_activity where datname = 'counterfoil'`,
        )
        t.same(sessions, [{ role: 'counterfoil_service' }])
      }
      await serve(t, used, { env: { WORKERS }, meanwhile })
      const urls = await urlsOf(t, used)
      await cannotAlterTheChangeLog(t, urls.service)
      await onlyItsOwnPasswordWorks(t, urls)
    },
  )

t.test('a data directory from before the service had a role of its own is upgraded', async (t) => {
  const { url, stop } = await start(t, used)
  const superuser = new URL(await superuserUrl(url, used))
  superuser.pathname = '/counterfoil'
  for (const statement of [
    'drop owned by counterfoil_service',
    'drop role counterfoil_service',
    `do $$ begin
       execute format('alter role counterfoil password %L',
         (select rolpassword from pg_authid where rolname = 'postgres'));
     end $$`,
  ])
    await query(superuser.href, statement)
  await stop()
  await serve(t, used)
  const urls = await urlsOf(t, used)
  await cannotAlterTheChangeLog(t, urls.service)
  await onlyItsOwnPasswordWorks(t, urls)
  t.match(
    await query(urls.owner, 'select count(*)::integer as tokens from tokens where revoked_at is not null'),
    [{ tokens: 3 }],
  )
})

t.test('commands for operators work on a data directory that no service has used yet', async (t) => {
  const dataDir = await newDirectory(t)
  for (const [command, output] of [
    ['migrate', /^Applied 0001-foundation, /],
    ['rotate-keys', /^The key \S+ is published/],
    ['rewrap', /\d/],
  ] as const) {
    t.match(await resultOf([command], { DATA_DIR: dataDir }), { code: 0, output }, command)
  }
  await serve(t, dataDir)
})

t.test('passwords of roles are not in the log of a server that logs every statement', async (t) => {
  const dataDir = await preparedDirectory(t)
  const { url, stop } = await start(t, dataDir)
  await query(await superuserUrl(url, dataDir), "alter system set log_statement = 'all'")
  await stop()
  const urls = await urlsOf(t, dataDir)
  const log = await readFile(join(dataDir, 'postgres.log'), 'utf8')
  t.match(log, /alter role counterfoil_service password/)
  for (const url of Object.values(urls)) t.notOk(log.includes(new URL(url).password))
})

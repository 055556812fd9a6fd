import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { startEmbedded } from '../../src/embedded-postgres/installation.ts'
import { exportFeed, type Line } from '../../src/restore/export.ts'
import { Secret } from '../../src/shared/secret.ts'
import { failureOf, resultOf } from '../support/command.ts'
import { copyDirectory, preparedDirectory } from '../support/embedded.ts'
import { createWorld, type World } from '../support/world.ts'

const folder = await mkdtemp(join(tmpdir(), 'counterfoil-restore-'))
t.teardown(() => rm(folder, { recursive: true }))
const directory = await preparedDirectory(t)
const backup = join(dirname(directory), 'backup')
const file = join(folder, 'feed.ndjson')

const lines = async (path = file) =>
  (await readFile(path, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)

async function append(world: World, token: string, path = file): Promise<void> {
  await exportFeed(path, {
    service: { url: world.app.listeningOrigin, token: new Secret(token) },
    follow: false,
    ending: new AbortController().signal,
    pause: async () => {},
    warn: () => {},
  })
}

/** A Counterfoil on the data directory for the time of a subtest. The first one's administrator and keys remain. */
async function withWorld(name: string, where: string, work: (t: Test, world: World) => Promise<void>) {
  const server = await startEmbedded(where)
  await t.test(name, async (t) => {
    const signing = administrator && { masterKeys: administrator.masterKeys }
    const world = await createWorld(t, { databaseUrl: server.url, ...(signing && { signing }) })
    // The command has the real time, by which overlaps end too.
    world.clock.now = new Date()
    await world.app.listen({ host: '127.0.0.1', port: 0 })
    await work(t, world)
  })
  await server.stop()
}

let administrator: { token: string; masterKeys: World['signing']['masterKeys'] } | undefined
const admin = () => administrator?.token ?? ''

const names = [
  'kept',
  'revoked',
  'deleted',
  'rotated',
  'overlapping',
  'changed',
  'owned',
  'suspended',
  'resumed',
  'typed',
] as const
type Issued = { id: string; secret: string; path: string }
const tokens = {} as Record<(typeof names)[number], Issued>
/** The secret that replaced the one of `overlapping` before the backup. */
let successor = ''

const isActive = async (world: World, secret: string) =>
  (await world.ask('POST', '/introspect', { token: admin(), form: { token: secret } })).body.active

await withWorld('before the backup', directory, async (t, world) => {
  administrator = { token: world.admin, masterKeys: world.signing.masterKeys }
  const post = (path: string, body?: object) => world.ask('POST', path, { ...(body && { body }) })
  for (const key of ['shut', 'reopened']) await post('/v1/organizations', { key, name: key })
  const home: Partial<Record<string, string>> = { suspended: 'shut', resumed: 'reopened' }
  for (const name of names) {
    const organization = home[name] ?? 'default'
    const more = {
      ...(name === 'owned' && { owner: { subject: 'anna' } }),
      ...(name === 'typed' && { type: 'mcp' }),
    }
    const { id, secret } = await world.issue(more, organization)
    tokens[name] = { id, secret, path: `/v1/organizations/${organization}/tokens/${id}` }
  }
  successor = (await post(`${tokens.overlapping.path}/rotate`, { overlap_seconds: 3600 })).body.secret
  await append(world, admin())
  await post('/v1/organizations/reopened/suspend')
  await append(world, admin())
  t.match(await lines(), [{ reason: 'started' }, { reason: 'suspended', organization: 'reopened' }])
  await post('/v1/organizations/reopened/resume')
  for (const secret of [...Object.values(tokens).map(({ secret }) => secret), successor])
    t.equal(await isActive(world, secret), true)
})

// The server is stopped, so the copy is a complete backup.
await copyDirectory(directory, backup)

await withWorld('after the backup', directory, async (t, world) => {
  const good = async (method: string, path: string, body?: object) => {
    const { status, text } = await world.ask(method, path, { token: admin(), ...(body && { body }) })
    t.ok(status < 300, `${method} ${path}: ${text}`)
  }
  await good('POST', `${tokens.revoked.path}/revoke`)
  await good('DELETE', tokens.deleted.path)
  await good('POST', `${tokens.rotated.path}/rotate`, { overlap_seconds: 0 })
  await good('POST', `${tokens.overlapping.path}/rotate/finish`)
  await good('PATCH', tokens.changed.path, { allowed_cidrs: ['192.0.2.0/24'] })
  await good('POST', '/v1/organizations/shut/suspend')
  await good('POST', '/v1/organizations/default/owners/anna/suspend')
  await good('POST', '/v1/token-types/mcp/suspend')
  const before = (await lines()).length
  // A line that a crash cut off.
  await appendFile(file, '{"id":"0000')
  await append(world, admin())
  t.ok((await lines()).length >= before + 8)
})

await withWorld('restore-check repeats what was revoked after the backup', backup, async (t, world) => {
  for (const { secret } of Object.values(tokens))
    t.equal(await isActive(world, secret), true, 'the restore is real')
  const env = { DATABASE_URL: world.databaseUrl }
  const command = async (...args: string[]) => {
    const { code, output } = await resultOf(['restore-check', ...args, '--json'], env)
    const steps = output
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
    return { code, steps: steps.map(({ action, subject }) => `${action} ${subject}`).sort() }
  }
  const token = (name: keyof typeof tokens) => `default, token ${tokens[name].id}`
  const expected = [
    `end overlap ${token('overlapping')}`,
    `review ${token('changed')}`,
    `revoke ${token('revoked')}`,
    `revoke ${token('deleted')}`,
    `revoke ${token('rotated')}`,
    'suspend shut',
    'suspend default, owner anna',
    'suspend type mcp',
  ]
  const dry = await command(file, '--dry-run')
  t.equal(await isActive(world, tokens.revoked.secret), true, 'a dry run changes nothing')
  const done = await command(file)
  t.equal(done.code, 1, 'because something has to be reviewed')
  for (const { steps } of [dry, done])
    t.same(
      steps.filter((step) => !/^review .*rotated/.test(step)),
      expected.sort(),
    )
  const active = names.filter((name) => ['kept', 'changed', 'resumed'].includes(name))
  await world.credentials.settled()
  for (const name of names) t.equal(await isActive(world, tokens[name].secret), active.includes(name), name)
  t.equal(await isActive(world, successor), true)
  t.same((await command(file)).steps, [`review ${token('changed')}`], 'what was done is not done again')
  const { body } = await world.ask(
    'GET',
    `/v1/organizations/default/audit-events?target=${tokens.revoked.id}`,
    {
      token: admin(),
    },
  )
  t.match(body.items[0], { action: 'token.revoked', actor: { id: 'restore-check' } })

  await append(world, admin())
  t.match((await lines()).at(-1), { reason: 'gap' }, 'the export continues, and tells that its history ended')
  t.match((await command(file)).steps.at(-1), /gap/)

  const late = join(folder, 'late.ndjson')
  await append(world, admin(), late)
  const [first] = await lines(late)
  await writeFile(late, `${JSON.stringify({ ...first, id: '00000000.999999' })}\n`)
  t.match((await command(late)).steps, [/begins after the backup/])

  t.match(await command('--suspend-all'), { code: 0, steps: ['suspend default', 'suspend reopened'] })
  t.equal(await isActive(world, tokens.kept.secret), false)
  t.match((await world.ask('GET', '/v1/self', { token: admin() })).status, 200)
})

t.test('a file that is no export is rejected', async (t) => {
  const wrong = join(folder, 'wrong.ndjson')
  const fails = async (text: string) => {
    await writeFile(wrong, text)
    return failureOf(['restore-check', wrong], { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/nothing' })
  }
  t.match(await failureOf(['restore-check']), { code: 64, message: /either a file or --suspend-all/ })
  t.match(await fails('nonsense\n'), { code: 78, message: /^Line 1 is not an event/ })
  t.match(await fails('{"id":"00000000.1","at":"2026-03-01T12:00:00Z","reason":"revoked"}\n'), {
    code: 78,
    message: /first line is missing/,
  })
})

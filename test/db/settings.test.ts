// Settings of a database or role do not affect the service.
import t from 'tap'
import { startOwnServer } from '../support/own-server.ts'
import { createWorld, type World } from '../support/world.ts'

const server = await startOwnServer(t)
const plain = await createWorld(t, { databaseUrl: server.url })
const { admin } = plain
const start = (await plain.ask('GET', '/v1/revocations')).body.cursor

/** The settings that sessions rely on, with the most harmful values. */
const settings: Record<string, string> = {
  datestyle: 'German, DMY',
  timezone: 'Pacific/Chatham',
  intervalstyle: 'iso_8601',
  default_transaction_isolation: 'serializable',
  search_path: 'pg_catalog',
  array_nulls: 'off',
  bytea_output: 'escape',
  standard_conforming_strings: 'off',
  extra_float_digits: '-15',
  client_encoding: 'LATIN1',
  transform_null_equals: 'on',
  exit_on_error: 'on',
}

const tokens = '/v1/organizations/default/tokens'

/** Everything that the service says about one token, through every endpoint. */
async function told({ ask }: World, token: { id: string; secret: string }) {
  const list = `${tokens}?search=set&sort=expires_at&limit=1`
  const first = (await ask('GET', list, { token: admin })).body
  const second = (await ask('GET', `${list}&cursor=${first.next_cursor}`, { token: admin })).body
  return {
    token: (await ask('GET', `${tokens}/${token.id}`, { token: admin })).body,
    introspected: (
      await ask('POST', '/introspect', {
        token: admin,
        form: { token: token.secret, client_ip: '127.0.0.1' },
      })
    ).body,
    pages: [first.items, second.items],
    log: (await ask('GET', `/v1/organizations/default/audit-events?target=${token.id}`, { token: admin }))
      .body,
    feed: (await ask('GET', `/v1/revocations?since=${start}`, { token: admin })).body,
    ready: (await ask('GET', '/readyz', { token: '' })).status,
  }
}

async function make({ ask }: World, n: number) {
  const body = {
    name: `Set ${n} \\' é`,
    type: 'api',
    scopes: ['NULL', 'a'],
    metadata: { note: 'it’s \\ "x"' },
    expires_at: `2027-02-03T04:05:06.${100 + n}Z`,
    not_before: '2026-02-03T04:05:06.789Z',
    allowed_cidrs: ['192.0.2.0/24', '127.0.0.1'],
  }
  const made = await ask('POST', tokens, { token: admin, body })
  if (made.status !== 201) throw new Error(made.text)
  return made.body
}

let n = 0
// A role's settings take precedence over a database's.
for (const [name, value] of Object.entries(settings)) {
  t.test(`${name} = ${value}`, async (t) => {
    const quoted = value.includes(',') ? value : `'${value}'`
    await server.admin(`alter role service set ${name} = ${quoted}`)
    t.teardown(() => server.admin(`alter role service reset ${name}`))
    const set = await createWorld(t, { databaseUrl: server.url, signing: plain.signing })
    for (const [maker, reader] of [
      [plain, set],
      [set, plain],
    ] as const) {
      const token = await make(maker, n++)
      const first = await told(reader, token)
      t.match(first, { ready: 200, introspected: { active: true } })
      t.same(first, await told(maker, token))
      const revoke = { token: admin, body: { reason: 'Over' } }
      t.equal((await maker.ask('POST', `${tokens}/${token.id}/revoke`, revoke)).status, 200)
      t.same(await told(reader, token), await told(maker, token))
      const taken = await Promise.all(
        [1, 2].map(() =>
          set.ask('PATCH', `${tokens}/${token.id}`, { token: admin, body: { comment: 'Both' } }),
        ),
      )
      t.same(
        taken.map(({ status }) => status),
        [200, 200],
      )
    }
  })
}

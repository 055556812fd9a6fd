import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import t from 'tap'
import { sha256 } from '../support/import.ts'
import { createWorld } from '../support/world.ts'
import { blocks, root } from './markdown.ts'
import { newFolder } from './service.ts'

const world = await createWorld(t)
const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
const folder = await newFolder(t)
// Without the dry run before it.
const importing = blocks('docs/importing.md', 'sh')
  .find((block) => block.startsWith('npx '))
  ?.trim()
  .split('\n')
  .at(-1)

/** Runs the lines of the document that make a file, then those that import it. */
async function move(recipe: string, standIns = ''): Promise<string> {
  const npx = `npx() { shift; "${process.execPath}" "${join(root, 'src/server.ts')}" "$@"; }`
  const [block = ''] = blocks('docs/importing.md', `sh ${recipe}`)
  const { stdout } = await promisify(execFile)(
    'bash',
    ['-ec', `${npx}\n${standIns}\n${block}\n${importing}`],
    {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
        PUBLIC_URL: url,
        ADMIN_TOKEN: world.admin,
        DOCUMENT_ROWS: join(folder, 'rows.ndjson'),
      },
    },
  )
  return stdout
}

const imported = (created: number) => `Created: ${created}, existed before: 0, invalid: 0.\n`

/** What introspection says, and what the list of tokens does. */
async function find(secret: string) {
  const introspected = await world.introspect(secret)
  const { body: token } = await world.ask('GET', `/v1/organizations/default/tokens/${introspected.client_id}`)
  return { introspected, token }
}

t.test('the statement for a table in PostgreSQL makes lines that are imported', async (t) => {
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  t.teardown(() => client.end())
  await client.query(`
    create temporary table api_keys (id int, name text, user_id int, digest bytea, created_at timestamptz,
      last_used_at timestamptz, expires_at timestamptz, revoked_at timestamptz)`)
  const insert = 'insert into api_keys values ($1, $2, 4711, $3, $4, $5, $6, $7)'
  const [used, unused, revoked] = ['own-secret-used', 'own-secret-unused', 'own-secret-revoked']
  const dates = ['2024-05-01T08:00:00.123456+02:00', '2024-06-01T08:00:00Z', '2100-01-01T00:00:00Z']
  const digest = (secret = '') => Buffer.from(sha256(secret), 'hex')
  await client.query(insert, [1, 'Used "often"', digest(used), ...dates, null])
  await client.query(insert, [2, 'Never used', digest(unused), dates[0], null, null, null])
  await client.query(insert, [3, 'Revoked', digest(revoked), ...dates, dates[1]])
  // psql is not among the embedded binaries; with -At it prints the columns alone.
  const [, statement = ''] = /<<'SQL'\n(.*)^SQL$/ms.exec(blocks('docs/importing.md', 'sh own')[0] ?? '') ?? []
  const { rows } = await client.query({
    text: statement,
    rowMode: 'array',
    types: { getTypeParser: () => String },
  })
  await writeFile(join(folder, 'rows.ndjson'), rows.map(([row]) => `${row}\n`).join(''))

  t.equal(await move('own', 'psql() { cat "$DOCUMENT_ROWS"; }'), imported(2))
  const { introspected, token } = await find(used)
  t.match(introspected, { active: true, sub: '4711' })
  t.match(token, {
    name: 'Used "often"',
    metadata: { former_id: 1 },
    created_at: '2024-05-01T06:00:00.123Z',
    last_used_at: '2024-06-01T08:00:00.000Z',
    expires_at: '2100-01-01T00:00:00.000Z',
  })
  t.match((await find(unused)).token, { name: 'Never used', expires_at: null })
  t.match(await world.introspect(revoked), { active: false })
})

t.test('the filter for Unkey turns its rows into lines that are imported', async (t) => {
  const row = {
    id: 'key_1',
    hash: sha256('unkey_secret-1', 'base64'),
    start: 'unkey_secr',
    name: 'From Unkey',
    meta: '{"plan":"pro","limits":[1,2],"none":null}',
    owner: 'user_7',
    created: 1714550400123,
    used: 1717228800000,
    expires: '2100-01-01 00:00:00.000000',
  }
  const bare = {
    id: 'key_2',
    hash: sha256('secret-without-prefix', 'base64'),
    start: 'secr',
    name: null,
    meta: null,
    owner: null,
    created: 1714550400123,
    used: 0,
    expires: null,
  }
  // As MySQL prints JSON objects.
  await writeFile(join(folder, 'rows.ndjson'), `${JSON.stringify(row)}\n${JSON.stringify(bare)}\n`)
  t.equal(await move('unkey', 'mysql() { cat > statement.sql; cat "$DOCUMENT_ROWS"; }'), imported(2))
  const { introspected, token } = await find('unkey_secret-1')
  t.match(introspected, { active: true, sub: 'user_7' })
  t.match(token, {
    name: 'From Unkey',
    hint: 'unkey_secr…',
    metadata: { plan: 'pro', limits: '[1,2]', none: null, unkey_id: 'key_1' },
    created_at: '2024-05-01T08:00:00.000Z',
    last_used_at: '2024-06-01T08:00:00.000Z',
    expires_at: '2100-01-01T00:00:00.000Z',
  })
  t.match((await find('secret-without-prefix')).token, {
    name: 'key_2',
    owner: null,
    last_used_at: null,
    expires_at: null,
  })
})

t.test('the loop for GitLab hashes the tokens of a file', async (t) => {
  const secrets = ['glpat-0123456789abcdefABCD', 'glpat-back\\slash%s-and-space']
  for (const secret of secrets) sha256(secret)
  const text = `Nightly build\t${secrets[0]}\nRelease "2"\t${secrets[1]}\n`
  await writeFile(join(folder, 'tokens.tsv'), text)
  t.equal(await move('gitlab'), imported(2))
  t.match(await find(secrets[0] ?? ''), {
    introspected: { active: true },
    token: { name: 'Nightly build', hint: 'glpat-…' },
  })
  t.match((await find(secrets[1] ?? '')).token, { name: 'Release "2"' })
})

import { createHash } from 'node:crypto'
import pg from 'pg'
import t from 'tap'
import { exitCodes } from '../../src/exit-codes.ts'
import { createWorld } from '../support/world.ts'
import { blocks, table } from './markdown.ts'

t.test('the statement for a lost administrator token puts a new one in its place', async (t) => {
  const world = await createWorld(t)
  await world.manager(['platform:admin'], 'platform')
  const secret = 'cf-admin-0123456789abcdef0123456789abcdef0123456789abcdef'
  const statement = blocks('docs/operating.md', 'sql').find((block) => block.startsWith('update')) ?? ''
  const client = new pg.Client({ connectionString: world.databaseUrl })
  await client.connect()
  await client.query(statement.replace('<hash>', createHash('sha256').update(secret).digest('hex')))
  await client.end()
  t.equal((await world.ask('GET', '/v1/self')).status, 401)
  const found = await world.ask('GET', '/v1/self', { token: secret })
  t.match(found, { status: 200, body: { name: 'Bootstrap administrator', hint: 'cf-admin-…' } })
})

t.test('the table of exit codes has all of them', async (t) => {
  const listed = table('docs/operating.md', '## Stop').flatMap(([codes = '']) =>
    codes.split(', ').map(Number),
  )
  t.same(listed, [...Object.values(exitCodes), 129, 130, 143])
})

import { execFileSync } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { checkNames } from '../../src/doctor.ts'
import { exitCodes } from '../../src/exit-codes.ts'
import { newDirectory, query, start } from '../support/embedded.ts'
import { createWorld } from '../support/world.ts'
import { blocks, blocksBelow, read, table } from './markdown.ts'

t.test(
  'the command that dumps the embedded database connects to it, and the SQL of the runbooks runs there',
  async (t) => {
    const folder = await newDirectory(t)
    await mkdir(folder)
    await start(t, join(folder, '.counterfoil'))
    const command = blocks('docs/operating.md', 'sh').find((block) => block.startsWith('pg_dump')) ?? ''
    // pg_dump is not among the embedded binaries.
    const script = `pg_dump() { printf %s "$2"; }\n${command}`
    execFileSync('sh', ['-c', script], { cwd: folder })
    const url = await readFile(join(folder, 'counterfoil.sql'), 'utf8')
    t.same(
      await query(url, 'select current_database() as name, rolsuper from pg_roles where rolname = user'),
      [{ name: 'counterfoil', rolsuper: true }],
    )
    const statements = blocksBelow('docs/operating.md', '## Runbooks', 'sql')
    t.ok(statements.length > 5)
    for (const statement of statements) await t.resolves(query(url, statement), statement)
  },
)

t.test('the commands are those of counterfoil, with its options', async (t) => {
  const [, usage = ''] = /const usage = `(.*?)`/s.exec(read('src/main.ts')) ?? []
  for (const [command, name = ''] of read('docs/operating.md').matchAll(
    /npx counterfoil ([a-z][a-z-]*)[^\n`]*/g,
  )) {
    t.match(usage, new RegExp(`^  ${name} `, 'm'), command)
    for (const [option] of command.matchAll(/--[a-z-]+/g)) t.match(usage, option, command)
  }
})

t.test('the table of metrics is complete', async (t) => {
  const world = await createWorld(t)
  const { text } = await world.ask('GET', '/metrics')
  const served = [...text.matchAll(/^# TYPE (counterfoil_\w+)/gm)].map(([, name]) => name)
  const listed = table('docs/operating.md', '## Health, metrics, logs').map(([name]) => name)
  t.same(listed.toSorted(), served.toSorted())
})

t.test('the table of checks is that of counterfoil doctor', async (t) => {
  const listed = table('docs/operating.md', '## Check an installation').map(([check = '']) =>
    check.replaceAll('`', ''),
  )
  t.same(listed, checkNames)
})

t.test('the table of exit codes is complete', async (t) => {
  const listed = table('docs/operating.md', '## Stop').flatMap(([codes = '']) =>
    codes.split(', ').map(Number),
  )
  t.same(listed, [...Object.values(exitCodes), 129, 130, 143])
})

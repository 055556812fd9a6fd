import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { configWarnings, readConfig } from '../../src/config.ts'

const long = 'x'.repeat(32)

t.test('AUTH_SECRET is read with its organization, from the environment or from a file', async (t) => {
  const direct = readConfig({ AUTH_SECRET: long, AUTH_SECRET_ORGANIZATION: 'acme' }).staticSecret
  const file = join(t.testdir(), 'secret')
  await writeFile(file, `${long}\n`)
  const byFile = readConfig({ AUTH_SECRET_FILE: file, AUTH_SECRET_ORGANIZATION: 'acme' }).staticSecret
  for (const staticSecret of [direct, byFile]) {
    t.equal(staticSecret?.secret.reveal(), long)
    t.equal(staticSecret?.organization, 'acme')
  }
  t.equal(readConfig({}).staticSecret, undefined)
})

t.test('one variable without the other ends the start with a sentence that names both', async (t) => {
  for (const env of [{ AUTH_SECRET: long }, { AUTH_SECRET_ORGANIZATION: 'acme' }]) {
    t.throws(() => readConfig(env), /^AUTH_SECRET\w* is set without AUTH_SECRET\w*\.$/)
  }
})

t.test('a secret shorter than 32 characters causes a warning that does not quote it', async (t) => {
  const warnings = (secret: string) =>
    configWarnings(readConfig({ AUTH_SECRET: secret, AUTH_SECRET_ORGANIZATION: 'acme' }))
  t.same(warnings(long), [])
  t.match(warnings('hunter2'.repeat(4)), [/^AUTH_SECRET is shorter than 32 characters/])
  t.notMatch(warnings('hunter2'.repeat(4)), [/hunter2/])
  t.same(configWarnings(readConfig({})), [])
})

import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { cloneDatabase } from '../support/database.ts'
import { freePort, run, said } from '../support/process.ts'
import { curlBlocks, read, root } from './markdown.ts'
import { newFolder, startService } from './service.ts'

const command = [process.execPath, join(root, 'src/server.ts')]
const service = await startService(t, command, await newFolder(t))
const answers = (output: string) => output.match(/\{"active":[^}]*\}/g)?.map((text) => JSON.parse(text))

for (const shell of ['sh', 'bash']) {
  t.test(`the curl lines of the README work when pasted into ${shell}`, async (t) => {
    const output = await service.paste(shell, curlBlocks('README.md').join('\n'))
    const [before, after, ...more] = answers(output) ?? []
    t.match(before, { active: true, scope: 'read', organization: 'default', type: 'api' })
    t.same(after, { active: false })
    t.same(more, [])
  })

  t.test(`the curl lines that the service itself prints work when pasted into ${shell}`, async (t) => {
    const [, script = ''] = /revoke a token:\n\n(.*)\n\n/s.exec(service.welcome) ?? []
    const [before, after] = answers(await service.paste(shell, script)) ?? []
    t.match(before, { active: true, token_name: 'My first token' })
    t.same(after, { active: false })
  })
}

t.test('the curl lines of the README work with the settings of docker-compose.yml', async (t) => {
  const folder = await newFolder(t)
  const admin = `cf-admin-${'0123456789abcdef'.repeat(3)}`
  await mkdir(join(folder, '.counterfoil'))
  await writeFile(join(folder, '.counterfoil/admin-token'), admin)
  const variables = /^ {4}environment:\n(( {6}.+\n)+) {4}volumes:\n {6}- secrets:.*\n {4}ports/m.exec(
    read('docker-compose.yml'),
  )?.[1]
  const examples = /BOOTSTRAP_EXAMPLES: "(\w+)"/.exec(variables ?? '')?.[1] ?? ''
  const port = await freePort()
  const started = run(t, [], {
    PORT: `${port}`,
    DATABASE_URL: await cloneDatabase(),
    ADMIN_TOKEN: admin,
    BOOTSTRAP_EXAMPLES: examples,
  })
  await said(started, 'Server listening')
  const script = curlBlocks('README.md').join('\n').replaceAll(':7662', `:${port}`)
  const { stdout } = await promisify(execFile)('sh', ['-c', script], { cwd: folder })
  t.match(answers(stdout), [{ active: true, organization: 'default' }, { active: false }])
})

t.test(
  'the lines for resource servers work, with Bearer and with Basic, for one token and for many',
  async (t) => {
    const output = await service.paste('sh', curlBlocks('docs/integrating.md').join('\n'))
    t.match(answers(output), [...[{ active: true }, { active: true }, { active: false }], { active: false }])
  },
)

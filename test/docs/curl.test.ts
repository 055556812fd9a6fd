import { join } from 'node:path'
import t from 'tap'
import { curlBlocks, root } from './markdown.ts'
import { newFolder, startService } from './service.ts'

t.setTimeout(60_000)

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
    const [, script = ''] = /Try it:\n\n(.*)\n\n/s.exec(service.welcome) ?? []
    const [before, after] = answers(await service.paste(shell, script)) ?? []
    t.match(before, { active: true, token_name: 'My first token' })
    t.same(after, { active: false })
  })
}

t.test(
  'the lines for resource servers work, with Bearer and with Basic, for one token and for many',
  async (t) => {
    const output = await service.paste('sh', curlBlocks('docs/integrating.md').join('\n'))
    t.match(answers(output), [...[{ active: true }, { active: true }, { active: false }], { active: false }])
  },
)

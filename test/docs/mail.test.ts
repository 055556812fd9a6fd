import { join } from 'node:path'
import t from 'tap'
import { mailedTypes } from '../../src/shared/event-types.ts'
import { blocks, root, table } from './markdown.ts'
import { newFolder, startService } from './service.ts'

t.test('every mail is documented', async (t) => {
  t.same(
    table('docs/mail.md').map(([name]) => name),
    mailedTypes,
  )
})

t.test('with the documented settings the service starts, and the command names recipients', async (t) => {
  const [settings = '', command = ''] = blocks('docs/mail.md', 'sh')
  const variables = settings.trim().replaceAll("'", '').split('\n')
  const start = [...variables, process.execPath, join(root, 'src/server.ts')]
  const service = await startService(t, start, await newFolder(t))
  t.same(JSON.parse(await service.paste('bash', command)), {
    expiry_days: [30, 14, 7, 1],
    mail_owners: true,
    mail_to: ['platform-team@example.com'],
  })
})

import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { eventTypes } from '../../src/shared/event-types.ts'
import { freePort } from '../support/process.ts'
import { blocks, root, table } from './markdown.ts'
import { newFolder, startService } from './service.ts'

t.test('every event is documented', async (t) => {
  t.same(
    table('docs/webhooks.md', '## Events').map(([name]) => name),
    eventTypes,
  )
})

t.test('the commands register a webhook that gets a verified test event', async (t) => {
  const folder = await newFolder(t)
  const command = ['OUTBOUND_ALLOW=127.0.0.0/8', process.execPath, join(root, 'src/server.ts')]
  const service = await startService(t, command, folder)
  const port = `${await freePort()}`
  const local = (text: string) => text.replaceAll('8800', port)
  await writeFile(join(folder, 'receiver.mjs'), local(blocks('docs/webhooks.md', 'js receiver.mjs')[0] ?? ''))
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  const [register = '', test = ''] = blocks('docs/webhooks.md', 'sh')
  const [send = '', ...list] = test.trim().split('\n')
  const script = `
    ${register.replace('node receiver.mjs &', 'node receiver.mjs > received.txt & RECEIVER=$!')}
    trap 'kill $RECEIVER' EXIT
    until curl -s -o ready.txt http://127.0.0.1:${port}/; do sleep 0.1; done
    ${send}
    until grep -q webhook.test received.txt; do sleep 0.1; done
    until ${list.join('\n')} | grep delivered; do sleep 0.1; done
    cat received.txt`
  const output = await service.paste('bash', local(script))
  t.match(output, /^webhook\.test\tdelivered\t1\t204\t\d+$/m)
  t.match(output, /^webhook\.test $/m)
})

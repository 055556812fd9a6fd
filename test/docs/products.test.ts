import { symlink } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { blocks, root } from './markdown.ts'
import { newFolder, startService } from './service.ts'

// A folder that is like a clone, so that the lines run as they are.
const folder = await newFolder(t)
for (const name of ['package.json', 'src', 'migrations', 'node_modules', 'examples', 'console'])
  await symlink(join(root, name), join(folder, name))
const service = await startService(t, [process.execPath, join(root, 'src/server.ts')], folder)

t.test(
  'the lines of docs/products.md, pasted in order on a fresh start, end with five products',
  async (t) => {
    const script = `export PORT=${service.port}\n${blocks('docs/products.md', 'sh').join('\n')}`
    const output = await service.paste('sh', script)
    const answers = output.match(/\{"active":[^}]*\}/g)?.map((text) => JSON.parse(text))
    t.match(answers, [
      { active: true, organization: 'yourcompany', type: 'scim' },
      { active: true, organization: 'wxt-customer', type: 'scim' },
      { active: true, organization: 'tenant', type: 'api' },
      { active: true, organization: 'deploy', type: 'personal-access', sub: 'ada' },
      { active: true, organization: '4711', type: 'user-management', scope: 'um:read' },
    ])
    const applying = script.split('\n').filter((line) => /^(export|npm) /.test(line))
    const again = await service.paste('sh', applying.join('\n'))
    t.equal(
      again.match(/Everything is as the file says\./g)?.length,
      5,
      'and applying them again changes nothing',
    )
  },
)

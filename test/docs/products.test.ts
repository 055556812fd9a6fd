import { readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { openApi } from '../../src/apply/api.ts'
import { apply, type Step } from '../../src/apply/apply.ts'
import { readConfiguration } from '../../src/apply/file.ts'
import { Secret } from '../../src/shared/secret.ts'
import { fileOf, products } from '../support/product.ts'
import { blocks, root } from './markdown.ts'
import { newFolder, startService } from './service.ts'

// A folder that is like a clone, so that the lines run as they are.
const folder = await newFolder(t)
for (const name of ['package.json', 'src', 'migrations', 'node_modules', 'examples', 'console'])
  await symlink(join(root, name), join(folder, name))
const service = await startService(t, ['npm', 'start'], folder)

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
    const token = new Secret((await readFile(join(folder, '.counterfoil/admin-token'), 'utf8')).trim())
    const api = openApi({ url: `http://localhost:${service.port}`, token })
    for (const name of products) {
      const steps: Step[] = []
      await apply(api, readConfiguration(fileOf(name)), {
        dryRun: false,
        onStep: (step) => steps.push(step),
      })
      t.same(steps, [], `applying ${name} again changes nothing`)
    }
  },
)

import { join } from 'node:path'
import t from 'tap'
import { generateSecret } from '../../src/shared/secret.ts'
import { blocks, root } from './markdown.ts'
import { newFolder, startService } from './service.ts'

t.test('the commands revoke the token that leaked', async (t) => {
  const folder = await newFolder(t)
  const service = await startService(t, [process.execPath, join(root, 'src/server.ts')], folder)
  const [script = ''] = blocks('docs/leaks.md', 'sh leaks')
  const output = await service.paste(
    'bash',
    `${script}
curl -s http://localhost:7662/introspect -H "Authorization: Bearer $ADMIN" -d "token=$SECRET"`,
  )
  const [reported, listed, introspected] = output
    .trim()
    .replaceAll('}{', '}\n{')
    .split('\n')
    .map((line) => JSON.parse(line))
  t.match(reported, { known: true, report: { reaction: 'revoked', secret_status: 'current' } })
  t.same(listed.items, [reported.report])
  t.same(introspected, { active: false })
})

t.test('the expression for scanners finds every opaque token', async (t) => {
  const [text = ''] = blocks('docs/leaks.md', 'regex')
  const expression = new RegExp(text.trim())
  for (const label of ['api', 'a_b2', 'pat_Acme-Corp', 'pat_acme.eu', 'pat_4711', `p_${'x'.repeat(64)}`]) {
    const secret = generateSecret(label).reveal()
    t.equal(expression.exec(`KEY="${secret}" # note`)?.[0], secret, label)
  }
  t.notMatch('https://example.com/an_ordinary_path_with_underscores', expression)
})

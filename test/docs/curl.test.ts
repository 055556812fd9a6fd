import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { cloneDatabase } from '../support/database.ts'
import { freePort, run, said } from '../support/process.ts'
import { blocks, blocksBelow, curlBlocks, documents, read, root } from './markdown.ts'
import { newFolder, startService } from './service.ts'

const command = [process.execPath, join(root, 'src/server.ts')]
const service = await startService(t, command, await newFolder(t))
/** Reports what the service rejects, also within $(…). */
const reporting = `curl() { command curl --fail-with-body "$@" || echo REJECTED >&2; }\nexec 2>&1\n`
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

t.test('the lines of the runbooks work when pasted', async (t) => {
  const tokens = 'http://localhost:7662/v1/organizations/default/tokens'
  const webhooks = 'http://localhost:7662/v1/organizations/default/webhooks'
  const post = `curl -s -H "Authorization: Bearer $(cat .counterfoil/admin-token)" -H 'Content-Type: application/json'`
  const before = `${post} ${webhooks} -d '{"url": "https://hooks.example/counterfoil"}'
LEAKED=$(${post} ${tokens} -d '{"name": "Leaked", "type": "api", "scopes": ["read"], "lifetime_days": 1}' | jq -r .secret)
`
  const lines = blocksBelow('docs/operating.md', '## Runbooks', 'sh').filter((block) => /curl/.test(block))
  const output = await service.paste('bash', [reporting, before, ...lines].join('\n'))
  t.notMatch(output, /REJECTED/)
  t.match(output, /"status":"ok"/)
  t.match(output, /\tLeaked\t/, 'the token that expires tomorrow is listed')
  // It fails as soon as the first event is sent to it.
  t.match(output, /\t(active|failing)\thttps:\/\/hooks.example\/counterfoil/)
})

/** By tests of their own; what needs another machine or a token of the reader is in the last two. */
const pastedElsewhere = [
  'README.md',
  'docs/importing.md',
  'docs/integrating.md',
  'docs/leaks.md',
  'docs/mail.md',
  'docs/mcp.md',
  'docs/products.md',
  'docs/rotation.md',
  'docs/webhooks.md',
  'docs/operating.md',
]

t.test('the curl lines of every other page work when pasted', async (t) => {
  const [issuer = ''] = blocks('docs/sign-in.md', 'json')
  await writeFile(join(service.folder, 'issuer.json'), issuer)
  const pages = documents.filter((page) => curlBlocks(page).length > 0 && !pastedElsewhere.includes(page))
  t.ok(pages.includes('docs/scim.md'))
  // docs/resource-servers.md continues docs/integrating.md, and docs/signals.md docs/sign-in.md.
  const [server = ''] = curlBlocks('docs/integrating.md')
  for (const page of pages) {
    const output = await service.paste('bash', [reporting, server, ...curlBlocks(page)].join('\n'))
    t.notMatch(output, /REJECTED/, page)
  }
})

t.test('no command has a date that passes or an id that is not there', async (t) => {
  const passing = /\b20\d\d-\d\d-\d\d|\b[0-9a-f]{8}-[0-9a-f]{4}-/
  const commands = documents.flatMap((page) =>
    blocks(page, 'sh.*?').flatMap((block) =>
      block.split('\n').flatMap((line) => (passing.test(line) ? [`${page}: ${line}`] : [])),
    ),
  )
  t.same(commands, [])
})

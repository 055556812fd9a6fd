import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import t from 'tap'
import { blocks, root } from '../docs/markdown.ts'
import { withoutTap } from '../docs/service.ts'
import { checkTypes, installClient } from '../support/client-package.ts'
import { freePort } from '../support/process.ts'
import { startService } from '../support/verifier.ts'
import { createWorld } from '../support/world.ts'

const example = join(root, 'examples/mcp')
const world = await createWorld(t, { feed: { lifetimeMs: 10 * 60_000 } })
const { url, token } = await startService(world)
const port = await freePort()
const resource = `http://127.0.0.1:${port}/mcp`
const folder = await installClient(t)
const long = { lifetime_days: 3650 }

const [typeOf = '{}'] = blocks('docs/mcp.md', 'json')
const type = JSON.parse(typeOf.replaceAll('https://mcp.example/mcp', resource))
await world.ask('POST', '/v1/token-types', { body: type })
const good = await world.issue({
  ...long,
  type: type.name,
  scopes: ['mcp:use'],
  owner: { subject: 'u-4711' },
})

t.test('docs/mcp.md shows the files of the example as they are', async (t) => {
  const shown = blocks('docs/mcp.md', 'ts')
  const files = ['verifier.ts', 'server.ts'].map((name) => readFile(join(example, name), 'utf8'))
  t.same(shown, await Promise.all(files))
})

t.test('the example compiles', async (t) => {
  for (const name of await readdir(example)) await copyFile(join(example, name), join(folder, name))
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const compilerOptions = {
    target: 'es2024',
    module: 'nodenext',
    types: ['node'],
    skipLibCheck: true,
    allowImportingTsExtensions: true,
  }
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['server.ts'] }))
  await checkTypes(t, folder)
})

t.test('the commands for a clone start the example and call it', async (t) => {
  const [, commands = ''] = blocks('docs/mcp.md', 'sh')
  const [build, ...lines] = commands.split('\n')
  t.match(build, /^npm run build /, 'which installClient stands for here')
  await mkdir(join(folder, 'examples/mcp'), { recursive: true })
  for (const name of ['server.ts', 'verifier.ts'])
    await copyFile(join(example, name), join(folder, 'examples/mcp', name))
  await mkdir(join(folder, '.counterfoil'))
  await writeFile(join(folder, '.counterfoil/admin-token'), world.admin)
  const free = await freePort()
  const script = [...lines, 'kill $!', 'wait']
    .join('\n')
    .replaceAll('http://localhost:7662', url)
    .replaceAll(/(localhost:|PORT=)3000/g, `$1${free}`)
    .replaceAll('"mcp-example"', '"mcp-clone"')
    // The SDK checks the expiry by the real clock.
    .replaceAll('"lifetime_days": 30', '"lifetime_days": 3650')
    // npx would look in node_modules of the clone.
    .replaceAll('npx node', `exec env ${withoutTap([process.execPath]).join(' ')}`)
  const pasting = promisify(execFile)('bash', ['-s'], { cwd: folder })
  pasting.child.stdin?.end(script)
  t.match((await pasting).stdout, /ada of default/)
})

t.test('the example admits exactly the right callers', async (t) => {
  const env = {
    PATH: process.env.PATH,
    COUNTERFOIL_URL: url,
    COUNTERFOIL_TOKEN: token,
    RESOURCE: resource,
    PORT: `${port}`,
  }
  const server = spawn('env', withoutTap([process.execPath, 'server.ts']), { cwd: folder, env })
  const ended = once(server, 'exit')
  t.teardown(async () => {
    server.kill('SIGTERM')
    await ended
  })
  await Promise.race([once(server.stdout, 'data'), ended])
  t.equal(server.exitCode, null, 'it serves')

  t.equal(await whoami(good.secret), 'u-4711 of default')
  t.match(await refusal(''), { status: 401, challenge: /error="invalid_token"/ })
  t.match(await refusal('mcp_unknown'), { status: 401, challenge: /error="invalid_token"/ })

  const elsewhere = { name: 'elsewhere', prefix: 'else', audience: ['https://other.example/mcp'] }
  await world.ask('POST', '/v1/token-types', { body: elsewhere })
  const foreign = await world.issue({ ...long, type: 'elsewhere', scopes: ['mcp:use'] })
  t.match(await refusal(foreign.secret), { status: 401, challenge: /another audience/ })
  const narrow = await world.issue({ ...long, type: 'elsewhere', scopes: ['x'], audience: [resource] })
  t.match(await refusal(narrow.secret), { status: 403, challenge: /insufficient_scope.*scope="mcp:use"/ })
  const eternal = await world.issue({ type: type.name, scopes: ['mcp:use'] })
  t.match(await refusal(eternal.secret), { status: 401, challenge: /no expiration/ })

  const { challenge } = await refusal('')
  const [, metadataUrl = ''] = /resource_metadata="([^"]+)"/.exec(challenge) ?? []
  t.match(await (await fetch(metadataUrl)).json(), { resource, scopes_supported: ['mcp:use'] })

  await world.ask('POST', `/v1/organizations/default/tokens/${good.id}/revoke`)
  // The token stays cached as good until the feed reports the revocation.
  while (await whoami(good.secret).catch(() => undefined));
  t.match(await refusal(good.secret), { status: 401, challenge: /error="invalid_token"/ })
})

/** The tool's result, called through the SDK's own client. */
async function whoami(secret: string): Promise<string> {
  const client = new Client({ name: 'test', version: '1.0.0' })
  const requestInit = { headers: { Authorization: `Bearer ${secret}` } }
  await client.connect(new StreamableHTTPClientTransport(new URL(resource), { requestInit }))
  const { content } = await client.callTool({ name: 'whoami' })
  await client.close()
  return (content as { text: string }[])[0]?.text ?? ''
}

/** How the server rejects a request, according to the SDK's client. */
async function refusal(secret: string): Promise<{ status: number; challenge: string }> {
  await t.rejects(whoami(secret))
  const headers = { ...(secret && { authorization: `Bearer ${secret}` }) }
  const response = await fetch(resource, { method: 'POST', headers })
  await response.body?.cancel()
  return { status: response.status, challenge: response.headers.get('www-authenticate') ?? '' }
}

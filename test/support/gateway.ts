import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingHttpHeaders, type RequestListener, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { freePort, type Run, said } from './process.ts'
import { recordLog } from './records.ts'
import { createWorld, type World, type WorldOptions } from './world.ts'

const docs = new URL('../../docs/gateways/', import.meta.url)

/** Whether a program is installed. .ci/run installs those that the tests need. */
export function isInstalled(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

/** The request that the service behind a gateway received. */
export type Seen = { method: string; url: string; headers: IncomingHttpHeaders; body: string }
export type Reply = { status: number; headers: IncomingHttpHeaders; seen: Seen | undefined }

/** Counterfoil, a service, and where a gateway between a client and that service should listen. */
export type Site = {
  world: World
  gateway: { id: string; secret: string }
  /** Host and port of Counterfoil. */
  counterfoil: string
  port: number
  folder: string
  /** A file of docs/gateways, with the example addresses and credential replaced by this site's. */
  render(path: string): Promise<string>
  /** Writes a file into the folder and returns its path. */
  write(name: string, content: string): Promise<string>
  /** Runs the gateway until it reports that it is ready. */
  start(program: string, args: string[], ready: string, env?: Record<string, string>): Promise<void>
  /** Sends a client's request to the gateway, with raw header fields (names and values alternate). */
  send(headers: string[], options?: { method?: string; path?: string; body?: string }): Promise<Reply>
}

/** By default, the service responds with the request it received. */
export async function createSite(
  t: Test,
  options: WorldOptions = {},
  service: RequestListener = echo,
  port?: number,
): Promise<Site> {
  const world = await createWorld(t, { trustProxy: ['127.0.0.1'], ...options })
  const listening = port ?? (await freePort())
  const gateway = await world.issue(
    { name: 'Gateway', type: 'management', scopes: ['tokens:introspect'] },
    'platform',
  )
  const counterfoil = new URL(await world.app.listen({ host: '127.0.0.1', port: 0 })).host
  const behind = await startService(t, service)
  const folder = await mkdtemp(join(tmpdir(), 'counterfoil-gateway-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const places = Object.entries({
    '127.0.0.1:7662': counterfoil,
    '127.0.0.1:9000': behind,
    8080: String(listening),
    GATEWAY_ID: gateway.id,
    GATEWAY_TOKEN: gateway.secret,
  })
  return {
    world,
    gateway,
    counterfoil,
    port: listening,
    folder,
    async render(path) {
      const shown = await readFile(new URL(path, docs), 'utf8')
      return places.reduce((file, [place, value]) => file.replaceAll(place, value), shown)
    },
    async write(name, content) {
      await writeFile(join(folder, name), content)
      return join(folder, name)
    },
    start: (program, args, ready, env = {}) => start(t, program, args, ready, env),
    send: (headers, options) => send(listening, headers, options),
  }
}

const echo: RequestListener = async (request, response) => {
  const { method, url, headers } = request
  response.end(JSON.stringify({ method, url, headers, body: await text(request) }))
}

async function startService(t: Test, service: RequestListener): Promise<string> {
  const server = createServer(service)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `127.0.0.1:${(server.address() as { port: number }).port}`
}

async function start(
  t: Test,
  program: string,
  args: string[],
  ready: string,
  env: Record<string, string>,
): Promise<void> {
  const { PATH = '' } = process.env
  const child = spawn(program, args, { env: { PATH, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => {
      output += chunk
      recordLog(chunk)
    })
  const exit: Run['exit'] = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exit
  })
  await said({ child, output: () => output, exit }, ready)
}

async function send(
  port: number,
  headers: string[],
  { method = 'GET', path = '/orders/7?page=2', body = '' } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const length = body === '' ? [] : ['Content-Length', String(Buffer.byteLength(body))]
    const options = {
      host: '127.0.0.1',
      port,
      path,
      method,
      headers: ['Host', 'api.example', ...length, ...headers],
    }
    request(options, async (response) => {
      const content = await text(response)
      const seen = response.statusCode === 200 ? JSON.parse(content) : undefined
      resolve({ status: response.statusCode ?? 0, headers: response.headers, seen })
    })
      .on('error', reject)
      .end(body)
  })
}

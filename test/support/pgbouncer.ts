import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { isRoot } from './embedded.ts'

const unprivileged = 65534

export function hasPgbouncer(): boolean {
  try {
    execFileSync('pgbouncer', ['--version'])
    return true
  } catch {
    return false
  }
}

/** A pgbouncer in transaction mode in front of that database; resolves with the URL through it. */
export async function startPgbouncer(t: Test, databaseUrl: string, more: string[] = []): Promise<string> {
  const { hostname, port, username, password, pathname } = new URL(databaseUrl)
  const name = pathname.slice(1)
  const directory = await mkdtemp(join(tmpdir(), 'counterfoil-pgbouncer-'))
  t.teardown(() => rm(directory, { recursive: true, force: true }))
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const own = (server.address() as { port: number }).port
  server.close()
  await once(server, 'close')
  const settings = [
    '[databases]',
    `${name} = host=${hostname} port=${port} dbname=${name} user=${username} password=${decodeURIComponent(password)}`,
    '[pgbouncer]',
    `listen_addr = 127.0.0.1`,
    `listen_port = ${own}`,
    'unix_socket_dir =',
    'auth_type = any',
    'pool_mode = transaction',
    ...more,
  ]
  const file = join(directory, 'pgbouncer.ini')
  await writeFile(file, settings.join('\n'))
  if (isRoot) {
    await chown(file, unprivileged, unprivileged)
    await chmod(directory, 0o755)
  }
  const user = isRoot ? { uid: unprivileged, gid: unprivileged } : {}
  const child = spawn('pgbouncer', [file], { ...user, stdio: ['ignore', 'ignore', 'pipe'] })
  t.teardown(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  let log = ''
  for await (const line of createInterface(child.stderr)) {
    log += `${line}\n`
    if (line.includes('process up')) break
  }
  if (child.exitCode !== null) throw new Error(log)
  child.stderr.resume()
  const url = new URL(databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String(own)
  return url.href
}

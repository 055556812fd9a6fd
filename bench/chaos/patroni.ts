import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { atEnd, stop } from '../cleanup.ts'
import { freePort } from '../http.ts'

const timeoutMs = 120_000

type Member = { name: string; role: string; state: string; lag?: number | string; port: number }
type Node = { name: string; api: number; port: number; directory: string }

export function hasPatroni(): boolean {
  return ['patroni', 'etcd'].every((program) => {
    try {
      execFileSync('which', [program])
      return true
    } catch {
      return false
    }
  })
}

/** Two servers under Patroni with etcd, in synchronous mode. */
export async function startPatroni() {
  const home = await mkdtemp(join(tmpdir(), 'counterfoil-chaos-'))
  await chmod(home, 0o777)
  atEnd(() => rm(home, { recursive: true, force: true }))
  const [client, peer] = [await freePort(), await freePort()]
  const etcdUrl = `http://127.0.0.1:${client}`
  const etcd = [
    ...['--name', 'chaos', '--data-dir', join(home, 'etcd'), '--unsafe-no-fsync'],
    ...['--listen-client-urls', etcdUrl, '--advertise-client-urls', etcdUrl],
    ...[
      '--listen-peer-urls',
      `http://127.0.0.1:${peer}`,
      '--initial-advertise-peer-urls',
      `http://127.0.0.1:${peer}`,
    ],
    ...['--initial-cluster', `chaos=http://127.0.0.1:${peer}`, '--enable-v2=true'],
  ]
  run(
    'etcd',
    etcd.filter((arg) => arg !== '--unsafe-no-fsync'),
    home,
    'etcd',
  )
  const password = randomBytes(16).toString('hex')
  const nodes: Node[] = []
  for (const name of ['one', 'two']) {
    const node = { name, api: await freePort(), port: await freePort(), directory: join(home, name) }
    await mkdir(node.directory, { mode: 0o700 })
    own(node.directory)
    const file = join(home, `${name}.json`)
    // JSON is also YAML.
    await writeFile(file, JSON.stringify(await settings(node, client, password), null, 2))
    run('patroni', [file], home, name)
    nodes.push(node)
    await until(async () =>
      (await members(nodes))?.some((one) => one.name === name && /running|streaming/.test(one.state)),
    )
  }
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`).join()
  const leader = async () => (await members(nodes))?.find(({ role }) => role === 'leader')
  const settled = async () => {
    await until(async () => {
      const all = await members(nodes)
      return all?.some(({ role }) => role === 'leader') && all.some(({ role }) => role === 'sync_standby')
    })
  }
  await settled()
  return {
    url: `postgres://postgres:${password}@${hosts}/postgres?target_session_attrs=read-write`,
    /** Waits until there is a primary, and a standby that can take over without loss. */
    settled,
    async switchover(): Promise<void> {
      const before = await leader()
      const via = nodes[0] as Node
      const body = JSON.stringify({ leader: before?.name })
      const answer = await fetch(`http://127.0.0.1:${via.api}/switchover`, { method: 'POST', body })
      if (answer.status !== 200) throw new Error(`the switchover was rejected: ${await answer.text()}`)
      await until(async () => (await leader())?.name !== before?.name)
    },
    /** kill -9 of the primary's postmaster; the standby takes over. */
    async killPrimary(): Promise<void> {
      const before = await leader()
      const node = nodes.find(({ name }) => name === before?.name) as Node
      const pid = Number.parseInt(await readFile(join(node.directory, 'data', 'postmaster.pid'), 'utf8'), 10)
      process.kill(pid, 'SIGKILL')
      await until(async () => {
        const now = await leader()
        return now !== undefined && now.name !== before?.name
      })
    },
  }
}

async function settings({ name, api, port, directory }: Node, etcd: number, password: string) {
  const [version = ''] = (await readdir('/usr/lib/postgresql')).sort().reverse()
  return {
    scope: 'chaos',
    name,
    restapi: { listen: `127.0.0.1:${api}`, connect_address: `127.0.0.1:${api}` },
    etcd3: { host: `127.0.0.1:${etcd}` },
    bootstrap: {
      dcs: {
        ttl: 20,
        loop_wait: 2,
        retry_timeout: 5,
        maximum_lag_on_failover: 1_048_576,
        synchronous_mode: true,
        primary_start_timeout: 0,
        master_start_timeout: 0,
        postgresql: { use_pg_rewind: true, parameters: { wal_log_hints: 'on', max_connections: 200 } },
      },
      initdb: [{ encoding: 'UTF8' }, { locale: 'C.UTF-8' }, 'data-checksums'],
    },
    postgresql: {
      listen: `127.0.0.1:${port}`,
      connect_address: `127.0.0.1:${port}`,
      data_dir: join(directory, 'data'),
      bin_dir: `/usr/lib/postgresql/${version}/bin`,
      pgpass: join(directory, 'pgpass'),
      pg_hba: ['host all all 127.0.0.1/32 scram-sha-256', 'host replication all 127.0.0.1/32 scram-sha-256'],
      parameters: { unix_socket_directories: directory, password_encryption: 'scram-sha-256' },
      authentication: {
        superuser: { username: 'postgres', password },
        replication: { username: 'replicator', password },
        rewind: { username: 'rewinder', password },
      },
    },
  }
}

async function members(nodes: Node[]): Promise<Member[] | undefined> {
  for (const { api } of nodes) {
    try {
      const answer = await fetch(`http://127.0.0.1:${api}/cluster`, { signal: AbortSignal.timeout(2_000) })
      return ((await answer.json()) as { members: Member[] }).members
    } catch {}
  }
  return undefined
}

async function until(holds: () => Promise<unknown>): Promise<void> {
  const end = performance.now() + timeoutMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error('the cluster did not settle')
    await delay(100)
  }
}

/** PostgreSQL does not run as root. */
const account: { uid?: number; gid?: number } = userInfo().uid === 0 ? identify('postgres') : {}

function identify(user: string): { uid: number; gid: number } {
  const id = (flag: string) => Number(execFileSync('id', [flag, user], { encoding: 'utf8' }))
  return { uid: id('-u'), gid: id('-g') }
}

function own(directory: string): void {
  if (account.uid !== undefined) execFileSync('chown', [`${account.uid}:${account.gid}`, directory])
}

function run(program: string, args: string[], cwd: string, name: string): ChildProcess {
  const log = join(cwd, `${name}.log`)
  const env = { PATH: process.env.PATH ?? '', HOME: cwd }
  const child = spawn('/bin/sh', ['-c', `exec "$0" "$@" >>"${log}" 2>&1`, program, ...args], {
    ...account,
    cwd,
    env,
    stdio: 'ignore',
  })
  atEnd(() => stop(child))
  return child
}

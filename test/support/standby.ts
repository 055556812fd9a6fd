import { execFileSync } from 'node:child_process'
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { startEmbedded } from '../../src/embedded-postgres/installation.ts'
import { newDirectory, postmasterPid, preparedDirectory, query, superuserUrl } from './embedded.ts'
import { until } from './until.ts'

export type Server = {
  url: string
  /** As PostgreSQL's superuser. */
  asSuperuser(text: string): Promise<Record<string, unknown>[]>
  /** kill -9 of the postmaster. */
  kill(): Promise<void>
}

/** A migrated primary and a standby that streams from it. */
export type Pair = {
  primary: Server
  standby: Server
  /** Resolves when the standby has replayed everything that the primary has written. */
  caughtUp(): Promise<void>
  /** Makes the standby a primary, on a new timeline. */
  promote(): Promise<void>
}

export async function startPair(t: Test): Promise<Pair> {
  const [home, copy] = [await preparedDirectory(t), await newDirectory(t)]
  execFileSync('mkdir', [copy])
  for (const name of ['postgres', 'postgres-password'])
    execFileSync('cp', ['-a', join(home, name), join(copy, name)])
  const primary = await start(t, home)
  const { port, password } = new URL(await superuserUrl(primary.url, home))
  const source = `host=127.0.0.1 port=${port} user=postgres password=${password} application_name=standby`
  await appendFile(
    join(copy, 'postgres', 'postgresql.auto.conf'),
    `primary_conninfo = '${source}'\nwal_retrieve_retry_interval = '100ms'\n`,
  )
  // Copied with ownership, so that it belongs to the user that PostgreSQL runs as.
  execFileSync('cp', ['-a', join(copy, 'postgres', 'PG_VERSION'), join(copy, 'postgres', 'standby.signal')])
  const standby = await start(t, copy)
  return {
    primary,
    standby,
    async caughtUp() {
      const [now] = await primary.asSuperuser('select pg_current_wal_lsn() as at')
      const all = `select pg_last_wal_replay_lsn() >= '${now?.at}' as all`
      await until(async () => (await standby.asSuperuser(all))[0]?.all)
    },
    async promote() {
      await standby.asSuperuser('select pg_promote()')
    },
  }
}

async function start(t: Test, directory: string): Promise<Server> {
  const server = await startEmbedded(directory)
  t.teardown(() => server.stop())
  const superuser = await superuserUrl(server.url, directory)
  return {
    url: server.url,
    asSuperuser: (text) => query(superuser, text),
    async kill() {
      const pid = await postmasterPid(directory)
      process.kill(pid, 'SIGKILL')
      await until(() =>
        query(server.url, 'select 1').then(
          () => false,
          ({ code }) => code === 'ECONNREFUSED',
        ),
      )
    },
  }
}

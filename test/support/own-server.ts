import { join } from 'node:path'
import pg from 'pg'
import type { Test } from 'tap'
import { preparedDirectory, start, superuserUrl } from './embedded.ts'

/** A PostgreSQL server for the test, which has superuser access to it. */
export type OwnServer = {
  /** The migrated database of the service, as the role `service`, which owns it. */
  url: string
  /** The same URL with other parts. */
  urlWith(change: (url: URL) => void): string
  directory: string
  /** As the superuser, by default in the database `postgres`. */
  admin(text: string, database?: string): Promise<Record<string, unknown>[]>
  /** Ends all other sessions. */
  disconnect(): Promise<void>
}

export async function startOwnServer(t: Test): Promise<OwnServer> {
  const home = await preparedDirectory(t)
  const { url: own } = await start(t, home)
  const superuser = new URL(await superuserUrl(own, home))

  const admin: OwnServer['admin'] = async (text, database = 'postgres') => {
    superuser.pathname = `/${database}`
    const client = new pg.Client({ connectionString: superuser.href })
    await client.connect()
    return client
      .query(text)
      .then(({ rows }) => rows)
      .finally(() => client.end())
  }

  await admin("create role service login password 'first'")
  await admin('create database service template counterfoil owner service')
  await admin('reassign owned by counterfoil to service', 'service')
  const url = new URL(superuser)
  url.username = 'service'
  url.password = 'first'
  url.pathname = '/service'
  return {
    url: url.href,
    urlWith(change) {
      const changed = new URL(url)
      change(changed)
      return changed.href
    },
    directory: join(home, 'postgres'),
    admin,
    async disconnect() {
      await admin(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname is not null and pid <> pg_backend_pid()',
      )
    },
  }
}

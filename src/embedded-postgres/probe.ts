import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import type { Cluster } from './cluster.ts'

/**
 * The state of the cluster: the port of its server, or that it is busy or absent. A stranger is a server that rejects
 * us, or that serves another directory that ours is a copy of.
 */
export async function probe(cluster: Cluster): Promise<number | 'busy' | 'absent' | 'stranger'> {
  const pidFile = await readFile(join(cluster.directory, 'postmaster.pid'), 'utf8').catch(() => '')
  const port = Number(pidFile.split('\n')[3])
  if (!port) return 'absent'
  const client = connection(cluster, port)
  try {
    await client.connect()
    const { rows } = await client.query('show data_directory')
    return rows[0].data_directory === cluster.directory ? port : 'stranger'
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'ECONNREFUSED') return 'absent'
    // 57P…: the server is starting up or shutting down. Any other SQLSTATE means that it rejected us.
    return /^\d(?!7P)/.test(code ?? '') ? 'stranger' : 'busy'
  } finally {
    await client.end().catch(() => undefined)
  }
}

/** As the superuser, which is only for running the server, not for the application. */
export function connection(cluster: Cluster, port: number): pg.Client {
  const { password } = cluster
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: 'postgres',
    password,
    database: 'postgres',
    connectionTimeoutMillis: 5_000,
    ssl: false,
  })
  // A lost connection is also reported here; the query itself reports it to the caller.
  client.on('error', () => undefined)
  return client
}

import { createHmac } from 'node:crypto'
import type pg from 'pg'
import type { Cluster } from './cluster.ts'
import { connection } from './probe.ts'
import { scramVerifier } from './scram.ts'

const database = 'counterfoil'

/** Owns the tables, and migrates them. */
const owner = 'counterfoil'

/** Serves, with no more privileges than the owner grants it. */
const service = 'counterfoil_service'

export type ApplicationUrls = { url: string; serviceUrl: string }

/** Creates the application's database and its roles if needed; returns how to connect as the owner and as the service. */
export async function prepareApplicationDatabase(cluster: Cluster, port: number): Promise<ApplicationUrls> {
  const client = connection(cluster, port)
  try {
    await client.connect()
    const { rows } = await client.query('select pg_is_in_recovery() as standby')
    // A standby receives them from its primary.
    if (!rows[0].standby) await createRolesAndDatabase(client, cluster)
  } finally {
    await client.end()
  }
  const urlOf = (role: string) =>
    `postgres://${role}:${passwordOf(role, cluster)}@127.0.0.1:${port}/${database}`
  return { url: urlOf(owner), serviceUrl: urlOf(service) }
}

async function createRolesAndDatabase(client: pg.Client, cluster: Cluster): Promise<void> {
  for (const [role, attributes] of [
    [owner, 'login createdb'],
    [service, 'login'],
  ] as const) {
    const found = await client.query('select from pg_roles where rolname = $1', [role])
    if (found.rowCount === 0) await client.query(`create role ${role} ${attributes}`)
    // At every start: a role can change its own password, and the owner once had that of the superuser.
    await client.query(`alter role ${role} password '${await scramVerifier(passwordOf(role, cluster))}'`)
  }
  const found = await client.query('select from pg_database where datname = $1', [database])
  if (found.rowCount === 0) await client.query(`create database ${database} owner ${owner}`)
}

/** Derived, so that the data directory has only one password to keep. The superuser's cannot be derived from it. */
function passwordOf(role: string, { password }: Cluster): string {
  return createHmac('sha256', password).update(role).digest('base64url')
}

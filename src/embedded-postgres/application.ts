import type { Cluster } from './cluster.ts'
import { connection } from './probe.ts'

const name = 'counterfoil'

// Copies the superuser's password verifier, so that the password itself never appears in a statement.
const createRole = `
  do $$ begin
    execute format('create role ${name} login createdb password %L',
      (select rolpassword from pg_authid where rolname = 'postgres'));
  end $$`

/** Creates the application's database and its owner (not a superuser) if needed; returns how to connect. */
export async function createApplicationDatabase(cluster: Cluster, port: number): Promise<string> {
  const client = connection(cluster, port)
  try {
    await client.connect()
    const role = await client.query('select from pg_roles where rolname = $1', [name])
    if (role.rowCount === 0) await client.query(createRole)
    const database = await client.query('select from pg_database where datname = $1', [name])
    if (database.rowCount === 0) await client.query(`create database ${name} owner ${name}`)
  } finally {
    await client.end()
  }
  return `postgres://${name}:${cluster.password}@127.0.0.1:${port}/${name}`
}

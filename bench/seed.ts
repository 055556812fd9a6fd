import pg from 'pg'
import { v7 as uuid } from 'uuid'
import { generateSecret } from '../src/shared/secret.ts'
import { ask } from './http.ts'
import { startService } from './service.ts'

/** A database with Counterfoil's tables, and its credentials. */
export type Seeded = { url: string; admin: string; resourceServer: string; organizationId: string }
export type IssuedToken = { id: string; secret: string }

export const organization = 'bench'
export const tokenType = 'api'
const batch = 10_000

/** Creates the tables and, through the API, an organization, a token type and a resource server. */
export async function prepare(url: string): Promise<Seeded> {
  return { url, ...(await prepareService({ DATABASE_URL: url })) }
}

/** The same in the database that a service with this configuration has. */
export async function prepareService(env: Record<string, string>): Promise<Omit<Seeded, 'url'>> {
  const admin = generateSecret('cfm').reveal()
  const service = await startService({ ...env, ADMIN_TOKEN: admin })
  const create = async (path: string, json: object) => {
    const { status, body } = await ask(service.port, 'POST', path, { token: admin, json })
    if (status !== 201) throw new Error(`${path} answered ${status} ${body}`)
    return JSON.parse(body)
  }
  const { id } = await create('/v1/organizations', { key: organization, name: 'Benchmark' })
  await create('/v1/token-types', { name: tokenType, prefix: tokenType })
  const { secret } = await create('/v1/organizations/platform/tokens', {
    name: 'Resource server',
    type: 'management',
    scopes: ['tokens:introspect'],
  })
  await service.stop()
  return { admin, resourceServer: secret, organizationId: id }
}

/** Inserts tokens directly by SQL, many rows per statement: a million through the service would take too long. */
export async function addTokens(seeded: Seeded, count: number): Promise<IssuedToken[]> {
  const client = new pg.Client({ connectionString: seeded.url })
  await client.connect()
  // No cache needs a notification about these rows. Foreign keys remain enforced.
  await setTriggers(client, 'disable')
  const issued: IssuedToken[] = []
  for (let left = count; left > 0; left -= batch) {
    const size = Math.min(batch, left)
    const secrets = Array.from({ length: size }, () => ({ id: uuid(), secret: generateSecret('api') }))
    const ids = secrets.map(({ id }) => id)
    await client.query(insertTokens, [seeded.organizationId, ids])
    await client.query(insertUses, [seeded.organizationId, ids])
    const hashes = secrets.map(({ secret }) => secret.hash())
    await client.query(insertSecrets, [
      seeded.organizationId,
      ids,
      hashes,
      secrets.map(({ secret }) => secret.hint()),
    ])
    for (const { id, secret } of secrets) issued.push({ id, secret: secret.reveal() })
  }
  await setTriggers(client, 'enable')
  for (const table of ['tokens', 'token_secrets', 'token_uses']) await client.query(`vacuum analyze ${table}`)
  await client.end()
  return issued
}

async function setTriggers(client: pg.Client, what: 'enable' | 'disable'): Promise<void> {
  for (const table of ['tokens', 'token_secrets'])
    await client.query(`alter table ${table} ${what} trigger user`)
}

const insertTokens = `
  insert into tokens (organization_id, id, type, name, scopes, audience, metadata, created_at, created_by, updated_at)
  select $1, id, '${tokenType}', 'Token ' || ordinality, '{read,write}', '{https://api.example.com}', '{}', now(),
    '{"type":"system","id":"bench","name":"Benchmark"}', now()
  from unnest($2::uuid[]) with ordinality as rows (id, ordinality)`

const insertUses = 'insert into token_uses (organization_id, token_id) select $1, unnest($2::uuid[])'

const insertSecrets = `
  insert into token_secrets (organization_id, token_id, hash, hint, created_at)
  select $1, id, hash, hint, now() from unnest($2::uuid[], $3::bytea[], $4::text[]) as rows (id, hash, hint)`

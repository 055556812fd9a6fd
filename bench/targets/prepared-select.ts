// (c) Fastify and one prepared SELECT per request on Counterfoil's own tables: what a simple service would do.
import { createHash } from 'node:crypto'
import { parse } from 'node:querystring'
import Fastify from 'fastify'
import pg from 'pg'
import { responseSchema } from './introspection-schema.ts'
import { report } from './serve.ts'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 })
const select = {
  name: 'introspect',
  text: `
    select t.id, t.name, t.type, t.scopes, t.audience, t.created_at, t.expires_at, t.revoked_at, o.key as organization
    from token_secrets s
    join tokens t on t.organization_id = s.organization_id and t.id = s.token_id
    join organizations o on o.id = t.organization_id
    where s.hash = $1`,
}

const app = Fastify()
app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) =>
  done(null, parse(String(body))),
)
app.post<{ Body: { token: string } }>(
  '/introspect',
  { schema: { response: { 200: responseSchema } } },
  async ({ body }) => {
    const hash = createHash('sha256').update(body.token).digest()
    const { rows } = await pool.query({ ...select, values: [hash] })
    const [row] = rows
    if (!row || row.revoked_at || (row.expires_at && row.expires_at <= new Date())) return { active: false }
    return {
      active: true,
      scope: row.scopes.join(' '),
      client_id: row.id,
      token_type: 'Bearer',
      iat: Math.floor(row.created_at / 1000),
      sub: row.id,
      aud: row.audience,
      iss: 'http://localhost:7662',
      jti: row.id,
      organization: row.organization,
      type: row.type,
      token_name: row.name,
    }
  },
)
await app.listen({ host: '127.0.0.1', port: 0 })
await report(app.server)

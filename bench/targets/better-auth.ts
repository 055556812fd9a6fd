// (e) better-auth's verification of API keys, called by a minimal HTTP server in this process. Keys are in PostgreSQL,
// which measured faster here than its secondary storage, even with an in-process Map. Rate limiting, which defaults to
// ten requests per day and key, is off; updates are deferred as its documentation advises.
import { createServer } from 'node:http'
import { apiKey } from '@better-auth/api-key'
import { betterAuth } from 'better-auth'
import { getMigrations } from 'better-auth/db/migration'
import pg from 'pg'
import { report } from './serve.ts'

const { DATABASE_URL, TOKENS } = process.env as { DATABASE_URL: string; TOKENS: string }

const auth = betterAuth({
  secret: 'only ever used on the databases of the benchmark',
  baseURL: 'http://localhost:7662',
  database: new pg.Pool({ connectionString: DATABASE_URL, max: 10 }),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  logger: { disabled: true },
  advanced: { backgroundTasks: { handler: (task) => void task.catch(() => undefined) } },
  plugins: [apiKey({ rateLimit: { enabled: false }, deferUpdates: true })],
})
const { runMigrations } = await getMigrations(auth.options)
await runMigrations()

const { user } = await auth.api.signUpEmail({
  body: { name: 'Benchmark', email: 'bench@example.com', password: 'correct horse battery staple' },
})
const secrets: string[] = []
for (let i = 0; i < Number(TOKENS); i++) {
  const { key } = await auth.api.createApiKey({ body: { userId: user.id, name: `Token ${i}` } })
  secrets.push(key)
}

const server = createServer((request, response) => {
  let form = ''
  request.setEncoding('latin1').on('data', (chunk: string) => {
    form += chunk
  })
  request.on('end', async () => {
    const { valid } = await auth.api.verifyApiKey({ body: { key: form.slice('token='.length) } })
    const body = JSON.stringify({ active: valid })
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body)
  })
})
await report(server.listen(0, '127.0.0.1'), secrets)

// An instance for the chaos test of webhooks, whose clock runs faster so that its retries do not take days.
import type { AddressInfo } from 'node:net'
import { compose } from '../../src/compose.ts'
import { createDb } from '../../src/db/database.ts'
import { readCursorKey } from '../../src/db/installation.ts'
import { createLogger } from '../../src/http/log.ts'
import { parseMasterKey } from '../../src/keys/master-key.ts'

const { DATABASE_URL: databaseUrl = '', MASTER_KEY = '', STARTED = '0', SPEED = '1' } = process.env
const now = () => new Date(Number(STARTED) + (Date.now() - Number(STARTED)) * Number(SPEED))
const db = createDb({ url: databaseUrl, poolSize: 10 })
const { app } = await compose({
  db,
  databaseUrl,
  now,
  issuer: 'http://localhost',
  staticSecret: undefined,
  trustProxy: [],
  corsOrigins: [],
  verifier: { cacheSize: 1000 },
  signing: { masterKeys: [parseMasterKey(MASTER_KEY)], alg: 'EdDSA' },
  log: createLogger('silent'),
  onError: () => {},
  cursorKey: await readCursorKey(db),
  outbound: { allow: ['127.0.0.1'] },
})
await app.listen({ host: '127.0.0.1', port: 0 })
process.send?.((app.server.address() as AddressInfo).port)

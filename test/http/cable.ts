import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { compose } from '../../src/compose.ts'
import { createDb } from '../../src/db/database.ts'
import { readCursorKey } from '../../src/db/installation.ts'
import { createLogger } from '../../src/http/log.ts'
import { recordLog } from '../support/records.ts'
import { issuer, type World } from '../support/world.ts'

/** Another instance on the same database, from which it can be cut off. */
export async function appBehindCable(t: Test, { databaseUrl, clock, signing }: World) {
  const cable = await layCable(t, databaseUrl)
  const db = createDb({ url: cable.url, poolSize: 2 })
  const log = createLogger('info', { write: recordLog })
  const onError = (err: Error) => log.warn({ err }, 'database connection lost')
  const { app, close } = await compose({
    db,
    databaseUrl: cable.url,
    log,
    onError,
    now: () => clock.now,
    issuer,
    signing,
    trustProxy: [],
    corsOrigins: [],
    cursorKey: await readCursorKey(db),
    staticSecret: undefined,
    verifier: { cacheSize: 0 },
    flushEvery: () => () => {},
    outbound: { allow: [] },
  })
  t.teardown(async () => {
    await app.close()
    await close()
    await db.destroy()
  })
  return { app, cable }
}

/** A connection to PostgreSQL that can be cut and restored. */
async function layCable(t: Test, databaseUrl: string) {
  const url = new URL(databaseUrl)
  const target = { host: url.hostname, port: Number(url.port) }
  const open = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(target)
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => open.delete(one))
      one.pipe(other)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  url.host = `127.0.0.1:${port}`
  const cut = async () => {
    server.close()
    for (const socket of open) socket.destroy()
    await once(server, 'close')
  }
  t.teardown(() => server.listening && cut())
  return {
    url: url.href,
    cut,
    async mend() {
      server.listen(port, '127.0.0.1')
      await once(server, 'listening')
    },
  }
}

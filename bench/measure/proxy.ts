import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { atEnd } from '../cleanup.ts'

/** A connection on which the instance listens for notifications; `localPort` is how PostgreSQL identifies it. */
export type Listening = { localPort: number; dropPackets(): void; close(): void }

export type NotificationProxy = { url: string; listening(): Listening | undefined }

/** A proxy between an instance and PostgreSQL that recognizes the listening connection by the statement it sends. */
export async function startProxy(databaseUrl: string): Promise<NotificationProxy> {
  const { hostname, port } = new URL(databaseUrl)
  const found = new Set<Listening>()
  const server = createServer((client) => {
    const database = connect({ host: hostname, port: Number(port || 5432), noDelay: true })
    const link = join(client, database)
    client.on('data', (chunk) => {
      if (/\blisten\s+\S/i.test(String(chunk))) found.add(link)
    })
    client.on('close', () => found.delete(link))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  atEnd(() => server.close())
  const address = server.address()
  const own = new URL(databaseUrl)
  own.host = `127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
  return { url: own.href, listening: () => [...found].at(-1) }
}

function join(client: Socket, database: Socket): Listening {
  let dropping = false
  client.setNoDelay(true)
  const pairs = [
    [client, database],
    [database, client],
  ] as const
  for (const [from, to] of pairs) {
    from.on('data', (chunk) => {
      if (!dropping) to.write(chunk)
    })
    // While packets are dropped, neither end may notice that the other is gone.
    from.on('end', () => dropping || to.end())
    from.on('error', () => dropping || to.destroy())
    from.on('close', () => dropping || to.destroy())
  }
  return {
    get localPort() {
      return database.localPort ?? 0
    },
    dropPackets() {
      dropping = true
    },
    close() {
      client.destroy()
      database.destroy()
    },
  }
}

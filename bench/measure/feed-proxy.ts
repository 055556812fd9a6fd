import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { atEnd } from '../cleanup.ts'

/** A proxy between a client and an instance. While it drops packets, neither end notices. */
export async function startProxy(to: number) {
  const sockets = new Set<Socket>()
  let dropping = false
  const server = createServer((client) => {
    const instance = connect({ host: '127.0.0.1', port: to, noDelay: true })
    for (const [from, into] of [
      [client, instance],
      [instance, client],
    ] as const) {
      sockets.add(from)
      from.on('data', (chunk) => dropping || into.write(chunk))
      from.on('error', () => dropping || into.destroy())
      from.on('close', () => dropping || into.destroy())
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const close = () => {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
  atEnd(close)
  return {
    port: typeof address === 'object' && address ? address.port : 0,
    dropPackets() {
      dropping = true
    },
    close,
  }
}

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Test } from 'tap'

/** A proxy in front of PostgreSQL whose connections can be cut, frozen (as if packets were dropped) or delayed. */
export type Proxy = {
  url: string
  /** From now on nothing passes in either direction, on connections that stay open. */
  freeze(): void
  thaw(): void
  /** Cuts all connections and rejects new ones. */
  close(): Promise<void>
  reopen(): Promise<void>
  /** Cuts all connections; new ones lead to this server, as after a switchover. */
  flip(target: string): void
  /**
   * Cuts all connections after this many more messages to the server, as if the client had crashed: the server handles
   * the last one, but its reply is lost. The returned function stops this, and returns the client ports that were cut.
   */
  crashAfter(messages: number): () => number[]
  /** Withholds the replies on the next connection over which something with this text is sent. */
  holdRepliesTo(text: string): Held
  /** How often something with this text was sent. */
  sent(text: string): number
}

export type Held = { arrived: Promise<void>; release(): void }

export async function createProxy(t: Test, target: string): Promise<Proxy> {
  let { hostname, port } = new URL(target)
  const sockets = new Set<Socket>()
  const upstreams = new Set<Socket>()
  const requests: Buffer[] = []
  let frozen = false
  let crash: { left: number; ports: number[] } | undefined
  let hold: { text: string; arrived: () => void; release: Promise<void> } | undefined

  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    upstreams.add(upstream)
    upstream.on('close', () => upstreams.delete(upstream))
    let held: typeof hold
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    if (frozen) for (const socket of [client, upstream]) socket.pause()
    client.on('data', (data) => {
      requests.push(Buffer.from(data))
      if (hold && data.includes(hold.text)) {
        held = hold
        hold = undefined
      }
      if (crash && --crash.left === 0) {
        crash.ports.push(...[...upstreams].map(({ localPort }) => localPort as number))
        for (const socket of sockets) if (!upstreams.has(socket)) socket.destroy()
        upstream.end(data)
      } else upstream.write(data)
    })
    upstream.on('data', async (data) => {
      held?.arrived()
      await held?.release
      client.write(data)
    })
  })

  const listen = async (at: number) => {
    server.listen(at, '127.0.0.1')
    await once(server, 'listening')
  }
  await listen(0)
  const address = server.address() as { port: number }
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String(address.port)
  const close = async () => {
    server.close()
    for (const socket of sockets) socket.destroy()
    if (server.listening) await once(server, 'close')
  }
  t.teardown(close)

  return {
    url: url.href,
    freeze() {
      frozen = true
      for (const socket of sockets) socket.pause()
    },
    thaw() {
      frozen = false
      for (const socket of sockets) socket.resume()
    },
    close,
    reopen: () => listen(address.port),
    flip(to) {
      ;({ hostname, port } = new URL(to))
      for (const socket of sockets) socket.destroy()
    },
    crashAfter(messages) {
      const own = { left: messages, ports: [] as number[] }
      crash = own
      return () => {
        if (crash === own) crash = undefined
        return own.ports
      }
    },
    sent: (text) => Buffer.concat(requests).toString('latin1').split(text).length - 1,
    holdRepliesTo(text) {
      const arrived = Promise.withResolvers<void>()
      const release = Promise.withResolvers<void>()
      hold = { text, arrived: arrived.resolve, release: release.promise }
      return { arrived: arrived.promise, release: release.resolve }
    },
  }
}

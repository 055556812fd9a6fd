import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { Test } from 'tap'

/**
 * A DNS server on loopback. It answers names with their IPv4 addresses, ignores queries for names with null, and
 * reports all others as nonexistent.
 */
export async function serveNames(t: Test, names: Record<string, string | null>) {
  const socket = createSocket('udp4')
  const asked: string[] = []
  let reached: { count: number; go: () => void } | undefined
  socket.on('message', (query, { port, address }) => {
    const { name, end, type } = questionIn(query)
    asked.push(name)
    if (reached && new Set(asked).size >= reached.count) reached.go()
    const found = names[name]
    if (found === null) return
    const answers = found !== undefined && type === 1 ? [answerOf(found)] : []
    const head = Buffer.from(query.subarray(0, 12))
    // RFC 1035 §4.1.1: a response, recursion available; NXDOMAIN for an unknown name.
    head.writeUInt16BE(found === undefined ? 0x8183 : 0x8180, 2)
    head.writeUInt16BE(answers.length, 6)
    head.writeUInt32BE(0, 8)
    socket.send(Buffer.concat([head, query.subarray(12, end), ...answers]), port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  return {
    server: `127.0.0.1:${socket.address().port}`,
    asked,
    /** Waits until this many names have been queried. */
    async hasBeenAskedFor(count: number) {
      const { promise, resolve: go } = Promise.withResolvers<void>()
      reached = { count, go }
      if (new Set(asked).size >= count) go()
      await promise
    },
  }
}

function questionIn(query: Buffer): { name: string; end: number; type: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), end: at + 5, type: query.readUInt16BE(at + 1) }
}

/** An A record for the name in the question, with a TTL of one minute. */
function answerOf(address: string): Buffer {
  return Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split('.').map(Number)])
}

import { once } from 'node:events'
import type { Server } from 'node:net'

/** Sent to the harness when a target is ready; `secrets` only if the target has tokens of its own. */
export type Started = { port: number; secrets?: string[] }

export async function report(server: Server, secrets?: string[]): Promise<void> {
  if (!server.listening) await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address ? address.port : 0
  process.send?.({ port, ...(secrets && { secrets }) } satisfies Started)
  process.on('disconnect', () => process.exit())
}

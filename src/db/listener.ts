import { Socket } from 'node:net'
import { clientWith } from './client.ts'
import { type Origin, server, timeline } from './origin.ts'

// Default session settings: behind a pooler, connecting must succeed for us to find out that notifications do not
// arrive.
const Client = clientWith({ queryMs: 2_000, prepares: false })

export type Notify = (channel: string, payload: string) => void

/** Listens until the connection breaks or is closed; resolves once everything committed from then on will be heard. */
export async function listen(
  url: string,
  channels: string[],
  { onNotification, onBroken }: { onNotification: Notify; onBroken: (error?: Error) => void },
): Promise<{ close(): void; origin: Origin }> {
  const socket = new Socket()
  const client = new Client({
    connectionString: url,
    stream: () => socket,
    connectionTimeoutMillis: 2_000,
    keepAlive: true,
    application_name: 'counterfoil listener',
  })
  let open = true
  const close = () => {
    open = false
    // A graceful end would wait for a response, which a hung server does not send.
    socket.destroy()
  }
  const end = (error?: Error) => {
    if (open) onBroken(error)
    open = false
  }
  client.on('error', end)
  client.on('end', end)
  client.on('notification', ({ channel, payload }) => onNotification(channel, payload ?? ''))
  try {
    await client.connect()
    for (const channel of channels) await client.query(`listen ${client.escapeIdentifier(channel)}`)
    const { rows } = await client.query<Origin>(`select ${server} as server, ${timeline} as timeline`)
    return { close, origin: rows[0] as Origin }
  } catch (error) {
    close()
    throw error
  }
}

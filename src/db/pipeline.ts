import pg from 'pg'
import { type ClientOptions, clientWith, endsConnection } from './client.ts'

export type PipelineOptions = ClientOptions & {
  url: string
  /** How many milliseconds it may take to connect. */
  connectMs: number
  onError(error: Error): void
}

/** One connection, made when it is needed and again when it was lost. */
export type Pipeline = {
  /** Sends the statement behind those that are not answered yet; they are answered in their order. */
  query<Row extends pg.QueryResultRow>(text: string, values: unknown[]): Promise<pg.QueryResult<Row>>
  /** Gives the connection up, and with it what is not answered yet; the next one is made anew by name. */
  drop(): void
  end(): Promise<void>
}

/**
 * For statements that are short and many: none waits for the answer to the one before, and one process of PostgreSQL
 * has at hand what they need. One that fails leaves the others alone; one that is not answered in time ends all of them.
 */
export function openPipeline({ url, connectMs, onError, ...options }: PipelineOptions): Pipeline {
  const Client = clientWith(options)
  let connection: Promise<pg.Client> | undefined

  function connect(): Promise<pg.Client> {
    const client = new Client({
      connectionString: url,
      connectionTimeoutMillis: connectMs,
      keepAlive: true,
      pipeline: true,
      application_name: 'counterfoil',
    })
    const connecting = client.connect().then(() => client)
    client.on('error', onError)
    client.on('end', () => forget(connecting))
    connecting.catch(() => forget(connecting))
    return connecting
  }

  function forget(lost: Promise<pg.Client>): void {
    if (connection === lost) connection = undefined
  }

  return {
    async query(text, values) {
      connection ??= connect()
      const current = connection
      try {
        return await (await current).query(text, values)
      } catch (error) {
        // What is no answer of PostgreSQL is the end of the connection, which itself may learn of it later.
        if (!(error instanceof pg.DatabaseError) || endsConnection(error)) forget(current)
        throw error
      }
    },
    drop() {
      const given = connection
      connection = undefined
      given?.then(
        (client) => {
          void client.end()
          // A server that stands still would not notice the end.
          client.connection.stream.destroy()
        },
        () => {},
      )
    },
    async end() {
      const open = await connection?.catch(() => undefined)
      await open?.end()
    },
  }
}

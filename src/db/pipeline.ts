import pg from 'pg'
import { type ClientOptions, clientWith, endsConnection, type PreparedStatement } from './client.ts'

export type PipelineOptions = ClientOptions & {
  url: string
  /** Connection timeout in milliseconds. */
  connectMs: number
  onError(error: Error): void
}

/** One connection, opened when needed and reopened after it was lost. */
export type Pipeline = {
  /** Sends the statement behind those in flight; results arrive in order. */
  query<Row extends pg.QueryResultRow>(
    statement: PreparedStatement,
    values: unknown[],
  ): Promise<pg.QueryResult<Row>>
  /** Drops the connection and everything in flight on it; the next one is opened by name. */
  drop(): void
  end(): Promise<void>
}

/**
 * For many short statements: none waits for the result of the one before, and they share one warm backend. A failing
 * statement does not affect the others; one that times out fails all in flight.
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
    async query(statement, values) {
      connection ??= connect()
      const current = connection
      try {
        return await (await current).query(statement, values)
      } catch (error) {
        // Any error that is not a response of PostgreSQL means that the connection is lost, even if it does not know
        // yet.
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
          // A hung server would not notice a graceful end.
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

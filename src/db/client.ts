import pg from 'pg'
import { type Span, tracing } from '../shared/tracing.ts'
import { serversOf } from './hosts.ts'
import { startupParameters } from './session.ts'

type Done = (error: Error | null, result?: pg.QueryResult) => void

export type ClientOptions = {
  /** Timeout of a statement in milliseconds. */
  queryMs: number
  /**
   * Whether this client has the session to itself. A transaction pooler may hand each statement to another session that
   * has not prepared it, and rejects settings in the startup packet that it does not know.
   */
  prepares: boolean
}

/**
 * PostgreSQL must cancel statements that we abandon, or they would keep running and holding locks. It does so slightly
 * before our own timeout, so that we get PostgreSQL's error and keep the connection. Lock waits time out sooner,
 * because a waiting statement holds a connection that others need.
 */
function limitsOf({ queryMs, prepares }: ClientOptions): pg.ClientConfig {
  if (!prepares) return {}
  return {
    statement_timeout: Math.floor(queryMs * 0.9),
    lock_timeout: Math.floor(queryMs * 0.5),
    idle_in_transaction_session_timeout: queryMs,
  }
}

/**
 * A connection could not be opened; `cause` says why. It counts as unavailability, regardless of the SQLSTATE or system
 * error.
 */
export class ConnectionRefusedError extends Error {
  constructor(cause: unknown) {
    const { message, code } = cause as NodeJS.ErrnoException
    super(message || code || String(cause), { cause })
  }
}

declare module 'pg' {
  interface Client {
    /** The parameters of the startup packet; undocumented in pg. */
    getStartupConf(): Record<string, string>
  }
}

/**
 * A statement that every connection plans once, since planning takes longer than running it. It lists its columns
 * explicitly: the columns of `*` change when another version of the service migrates, and PostgreSQL then rejects the
 * cached plan.
 */
export class PreparedStatement {
  readonly name: string
  readonly text: string

  constructor(name: string, text: string) {
    if (/(select|returning|[.,])\s*\*/i.test(text)) throw new Error(`${name} must name its columns`)
    this.name = name
    this.text = text
  }
}

/** A statement in any of the forms that a client takes. */
type Query = string | pg.QueryConfig | PreparedStatement

/** The server is in recovery: it sees changes late or never, and accepts none. */
export class StandbyError extends Error {
  /** The SQLSTATE for a write on a standby: read_only_sql_transaction. */
  readonly code = '25006'

  constructor({ host, port }: pg.Client) {
    super(`the database server at ${host}:${port} is in recovery: connect to the primary`)
  }
}

export function isStandby(error: unknown): boolean {
  return sqlState(error) === '25006'
}

/** After these errors the connection is dead, or its server is no longer the primary. */
export function endsConnection(error: unknown): boolean {
  return /^(25006|57P0[1-4]|08...)$/.test(sqlState(error))
}

function sqlState(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/**
 * Connects only to a primary. A connection stays with its server, and a primary becomes a standby only by a restart,
 * which closes its connections. So one check after connecting is enough, except behind a pooler, where the responses
 * show it. A connection whose statement times out is closed, since a late response would have no recipient. pg has
 * timeouts and promises of its own, but with either of them each result stays in memory until the next full collection:
 * pg assigns a closure to an object member, and V8 allocates such closures, and keeps all they refer to, in the old
 * generation.
 */
export function clientWith(options: ClientOptions): typeof pg.Client {
  const { queryMs, prepares } = options

  function named({ name, text }: PreparedStatement, values: unknown[] | undefined): string | pg.Query {
    // If the name were in our own config object, pg would copy that object member by member.
    return prepares ? Object.assign(new pg.Query(text, values), { name }) : text
  }

  return class extends pg.Client {
    readonly #config: pg.ClientConfig
    readonly #servers: string[]

    constructor(given?: pg.ClientConfig | string) {
      const config = { ...limitsOf(options), ...(given as pg.ClientConfig) }
      const servers = serversOf(config.connectionString ?? '')
      super({ ...config, connectionString: servers[0] })
      // Pools add their listener only after `connect`: a connection that broke during its first statement would end the
      // process.
      this.on('error', () => {})
      this.#config = config
      this.#servers = servers
    }

    override getStartupConf(): Record<string, string> {
      const conf = super.getStartupConf()
      return { ...conf, ...startupParameters(!prepares, conf.options) }
    }

    override query = ((query: Query, values?: unknown[], done?: Done) => {
      if (done) return this.#ask(query, values, done)
      return new Promise((resolve, reject) => {
        this.#ask(query, values, (error, result) => (error ? reject(error) : resolve(result)))
      })
    }) as pg.Client['query']

    override connect = ((done?: (error: Error | null) => void) => {
      const connected = this.#connect().then(
        () => this,
        (error) => {
          throw isStandby(error) ? error : new ConnectionRefusedError(error)
        },
      )
      if (done) connected.then(() => done(null), done)
      return connected
    }) as unknown as pg.Client['connect']

    async #connect(): Promise<void> {
      if (this.#servers.length > 1) Object.assign(this, await this.#findPrimary())
      try {
        await super.connect()
      } catch (error) {
        // pg leaves the socket open when the client itself gives up, and the server waits for up to a minute.
        this.connection.stream.destroy()
        throw error
      }
      const { rows } = await this.query('select pg_is_in_recovery() as standby')
      if (!rows[0].standby) return
      void this.end()
      throw new StandbyError(this)
    }

    /** All servers are tried at once, so that one that does not respond costs no time while another does. */
    async #findPrimary(): Promise<{ host: string; port: number }> {
      const Probe = clientWith(options)
      const probes = this.#servers.map(async (connectionString) => {
        const probe = new Probe({ ...this.#config, connectionString, stream: undefined as never })
        probe.on('error', () => {})
        const { host, port } = await probe.connect()
        void probe.end()
        return { host, port }
      })
      try {
        return await Promise.any(probes)
      } catch (error) {
        const { errors } = error as AggregateError
        // A server's own error is more informative than a failure to reach another server.
        const reasons = errors.map((one) => (one instanceof ConnectionRefusedError ? one.cause : one))
        throw reasons.find((one) => one instanceof pg.DatabaseError) ?? reasons.find(isStandby) ?? reasons[0]
      }
    }

    #ask(query: Query, values: unknown[] | undefined, done: Done): void {
      const span = tracing && startSpan(query, this)
      const timer = setTimeout(() => {
        done(new Error('Query read timeout'))
        this.connection.stream.destroy()
      }, queryMs)
      const answered: Done = (error, result) => {
        clearTimeout(timer)
        if (span) tracing?.end(span, error)
        if (error && endsConnection(error)) void this.end()
        done(error, result)
      }
      const asked = query instanceof PreparedStatement ? named(query, values) : query
      super.query(asked as string, values as unknown[], answered)
    }
  }
}

const verb = /^\s*(\w+)/
const table = /\b(?:from|into|update)\s+"?(\w+)/i

/**
 * A span for the statement, if it is a part of something that is traced. It has the statement's name, which
 * PostgreSQL's log has too, or else its verb and first table, but not its text.
 */
function startSpan(query: Query, { host, port, database }: pg.Client): Span | undefined {
  if (!tracing?.isActive()) return undefined
  const summary = query instanceof PreparedStatement ? query.name : summaryOf(query)
  const { span } = tracing.startSpan(summary, {
    kind: 'client',
    attributes: {
      'db.system.name': 'postgresql',
      'db.query.summary': summary,
      'server.address': host,
      'server.port': port,
      ...(database && { 'db.namespace': database }),
    },
  })
  return span
}

function summaryOf(query: string | pg.QueryConfig): string {
  const text = typeof query === 'string' ? query : query.text
  const [, operation = ''] = verb.exec(text) ?? []
  const [, collection] = table.exec(text) ?? []
  return [operation.toUpperCase(), collection].filter(Boolean).join(' ')
}

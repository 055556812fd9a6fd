import pg from 'pg'
import { serversOf } from './hosts.ts'
import { startupParameters } from './session.ts'

type Done = (error: Error | null, result?: pg.QueryResult) => void

export type ClientOptions = {
  /** After how many milliseconds a statement is given up. */
  queryMs: number
  /**
   * Whether a session is ours alone. A pooler may hand each statement to another one, which has prepared nothing, and
   * refuses settings in the startup packet that it does not know.
   */
  prepares: boolean
}

/**
 * Has PostgreSQL end what is given up here, or else the statement would run on, with its locks and for no one. A little
 * before that, so that the error is PostgreSQL's and the connection stays. Waiting for a lock is given up sooner: those
 * who wait hold connections that others need.
 */
function limitsOf({ queryMs, prepares }: ClientOptions): pg.ClientConfig {
  if (!prepares) return {}
  return {
    statement_timeout: Math.floor(queryMs * 0.9),
    lock_timeout: Math.floor(queryMs * 0.5),
    idle_in_transaction_session_timeout: queryMs,
  }
}

/** A connection could not be opened; `cause` says why. Which SQLSTATE or system error it was makes no difference. */
export class ConnectionRefusedError extends Error {
  constructor(cause: unknown) {
    const { message, code } = cause as NodeJS.ErrnoException
    super(message || code || String(cause), { cause })
  }
}

declare module 'pg' {
  interface Client {
    /** What the startup packet says; not among pg's documented methods. */
    getStartupConf(): Record<string, string>
  }
}

const names = new Map<string, string>()

/**
 * From now on this statement is planned once on each connection, which takes longer than to run it. Its columns have to
 * be named one by one: with a `*` they change when another version of the service migrates, and PostgreSQL then refuses
 * the plan.
 */
export function planOnce(name: string, statement: string): void {
  if (/(select|returning|[.,])\s*\*/i.test(statement)) throw new Error(`${name} must name its columns`)
  names.set(statement, name)
}

/** The server is in recovery: it sees changes late or never, and takes none. */
export class StandbyError extends Error {
  /** What PostgreSQL answers there to a change: read_only_sql_transaction. */
  readonly code = '25006'

  constructor({ host, port }: pg.Client) {
    super(`the database server at ${host}:${port} is in recovery: connect to the primary`)
  }
}

export function isStandby(error: unknown): boolean {
  return sqlState(error) === '25006'
}

/** After these a connection leads nowhere, or to a server that is not the primary any more. */
export function endsConnection(error: unknown): boolean {
  return /^(25006|57P0[1-4]|08...)$/.test(sqlState(error))
}

function sqlState(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/**
 * Connections to a primary, and to nothing else: a connection leads to the same server for as long as it lasts, and a
 * primary does not become a standby without a restart, which ends it. So it is enough to look when it is made, except
 * behind a pooler, where an answer tells.
 *
 * They stop waiting for a statement after a while and then close, since a later answer would have no recipient. pg has a
 * time limit and promises of its own, but with either of them an answer stays in memory until the
 * next full collection, since pg makes a function right where it assigns it to a member, and V8 takes what is made there
 * for long-lived, with all that it refers to.
 */
export function clientWith(options: ClientOptions): typeof pg.Client {
  const { queryMs, prepares } = options
  return class extends pg.Client {
    readonly #config: pg.ClientConfig
    readonly #servers: string[]

    constructor(given?: pg.ClientConfig | string) {
      const config = { ...limitsOf(options), ...(given as pg.ClientConfig) }
      const servers = serversOf(config.connectionString ?? '')
      super({ ...config, connectionString: servers[0] })
      this.#config = config
      this.#servers = servers
    }

    override getStartupConf(): Record<string, string> {
      const conf = super.getStartupConf()
      return { ...conf, ...startupParameters(!prepares, conf.options) }
    }

    override query = ((query: string | pg.QueryConfig, values?: unknown[], done?: Done) => {
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
      await super.connect()
      const { rows } = await this.query('select pg_is_in_recovery() as standby')
      if (!rows[0].standby) return
      void this.end()
      throw new StandbyError(this)
    }

    /** All servers are asked at once: one that does not answer costs no time while another does. */
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
        // What a server says tells more than that another one is not there.
        const reasons = errors.map((one) => (one instanceof ConnectionRefusedError ? one.cause : one))
        throw reasons.find((one) => one instanceof pg.DatabaseError) ?? reasons.find(isStandby) ?? reasons[0]
      }
    }

    #ask(query: string | pg.QueryConfig, values: unknown[] | undefined, done: Done): void {
      const timer = setTimeout(() => {
        done(new Error('Query read timeout'))
        this.connection.stream.destroy()
      }, queryMs)
      const answered: Done = (error, result) => {
        clearTimeout(timer)
        if (error && endsConnection(error)) void this.end()
        done(error, result)
      }
      const name = prepares && typeof query === 'string' ? names.get(query) : undefined
      // With the name in an object of ours pg would copy that, member by member with its descriptors.
      const asked = name === undefined ? query : Object.assign(new pg.Query(query, values), { name })
      super.query(asked as string, values as unknown[], answered)
    }
  }
}

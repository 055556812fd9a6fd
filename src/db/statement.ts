import {
  type CompiledQuery,
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
} from 'kysely'
import { PreparedStatement } from './client.ts'
import { camelCase, type Db } from './database.ts'
import type { Tables } from './tables.ts'

/** A placeholder for a value that is given with each call. */
class Parameter {
  readonly name: PropertyKey

  constructor(name: PropertyKey) {
    this.name = name
  }
}

type ParameterOf<Values> = <Name extends keyof Values>(name: Name) => Values[Name]

const builder: Db = new Kysely<Tables>({
  dialect: {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new DummyDriver(),
    createIntrospector: (db) => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  },
  plugins: [camelCase],
})

/**
 * A statement that is built once and planned once per connection, for frequent statements whose building and planning
 * would take longer than running them. PostgreSQL's log shows the name.
 */
export function statement<Values extends object, Row>(
  name: string,
  build: (builder: Db, parameter: ParameterOf<Values>) => CompiledQuery<Row>,
): (db: Db, values: Values) => Promise<Row[]> {
  const compiled = build(builder, (of) => new Parameter(of) as never)
  // Kysely passes `sql` to the client without reading it, and ours accepts a prepared statement in its place.
  const sql = new PreparedStatement(name, compiled.sql) as unknown as string
  return async (db, values) => {
    const parameters = compiled.parameters.map((value) =>
      value instanceof Parameter ? values[value.name as keyof Values] : value,
    )
    const { rows } = await db.executeQuery<Row>({ ...compiled, sql, parameters })
    return rows
  }
}

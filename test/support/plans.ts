import { ExplainNode, type KyselyPlugin, type RawNode, type SelectQueryNode, sql } from 'kysely'
import type { Db } from '../../src/db/database.ts'

/** A node in the output of EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON). */
type PlanNode = {
  'Node Type': string
  'Relation Name'?: string
  'Actual Rows': number
  'Actual Loops': number
  'Rows Removed by Filter'?: number
  'Rows Removed by Index Recheck'?: number
  'Shared Hit Blocks': number
  'Shared Read Blocks': number
  Plans?: PlanNode[]
}

/** How PostgreSQL executed a query. */
export type Cost = {
  /** Tables with a sequential scan. */
  scanned: string[]
  /** The most rows that any node sorted. */
  sorted: number
  /** Rows of the table that were examined, whether or not they were returned; of several tables, the most. */
  examined: number
  blocks: number
}

/** The cost of the first query that `run` makes, examining rows of the tables. The query is executed for that, and returns no rows. */
export async function costOf(
  db: Db,
  table: string | string[],
  run: (db: Db) => Promise<unknown>,
): Promise<Cost> {
  const explain = ExplainNode.create('json', sql`analyze, buffers`.toOperationNode())
  let plan: PlanNode | undefined
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => {
      if (node.kind === 'SelectQueryNode') return { ...(node as SelectQueryNode), explain }
      if (node.kind !== 'RawNode') return node
      const { sqlFragments, ...raw } = node as RawNode
      const [first, ...rest] = sqlFragments
      return { ...raw, sqlFragments: [`explain (analyze, buffers, format json) ${first}`, ...rest] }
    },
    transformResult: async ({ result }) => {
      plan ??= Object.values(result.rows[0] as Record<string, any>)[0][0].Plan
      return { ...result, rows: [] }
    },
  }
  await run(db.withPlugin(plugin))
  if (!plan) throw new Error('nothing was asked')
  const nodes = flatten(plan)
  const of = (type: RegExp) => nodes.filter((node) => type.test(node['Node Type']))
  return {
    scanned: of(/^(Parallel )?Seq Scan$/)
      .filter((node) => node['Actual Loops'] > 0)
      .map((node) => node['Relation Name'] ?? ''),
    sorted: Math.max(0, ...of(/Sort$/).flatMap(({ Plans = [] }) => Plans.map(rowsOf))),
    examined: Math.max(
      ...[table].flat().map((table) =>
        of(/Scan$/)
          .filter((node) => node['Relation Name'] === table)
          .reduce((sum, node) => sum + rowsOf(node), 0),
      ),
    ),
    blocks: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
  }
}

/** How many rows each statement of `run` deleted or updated, without statements that affected none. */
export async function affectedBy(db: Db, run: (db: Db) => Promise<unknown>): Promise<number[]> {
  const affected: number[] = []
  const counting: KyselyPlugin = {
    transformQuery: ({ node }) => node,
    transformResult: async ({ result }) => {
      // pg reports a number of affected rows for selects too, but Kysely does not.
      if (result.numAffectedRows) affected.push(Number(result.numAffectedRows))
      return result
    },
  }
  await run(db.withPlugin(counting))
  return affected
}

function flatten(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(flatten)]
}

function rowsOf(node: PlanNode): number {
  const removed = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0)
  return Math.round((node['Actual Rows'] + removed) * node['Actual Loops'])
}

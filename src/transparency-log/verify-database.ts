import { type LoggedEvent, presentEvent } from '../audit/logged-event.ts'
import { batchSize } from '../db/batches.ts'
import type { Db } from '../db/database.ts'
import type { LogState } from '../db/tables.ts'
import { append, type Node, rootOf, type Tree } from '../shared/merkle-tree.ts'
import { hashEvent } from './entry.ts'
import { type Kept, type Mismatch, openKept, type Report, reportMismatches } from './findings.ts'
import { verifierKeyOf } from './key.ts'
import { type Checkpoint, NoteError, openCheckpoint } from './note.ts'
import * as store from './store.ts'

/** An event that enters the log later than this after the time that it has may have been made up afterwards. */
const lateMs = 10 * 60 * 1000

/**
 * Compares every event with its leaf, the leaves with the tree, and the tree with the checkpoints. Returns how many events
 * the log has.
 */
export async function verifyDatabase(db: Db, kept: Kept, report: Report): Promise<number> {
  const snapshot = db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only')
  return snapshot.execute((tx) => verifySnapshot(tx, kept, report))
}

/** The same in a transaction that sees one state of the database. */
export async function verifySnapshot(tx: Db, { file, key }: Kept, report: Report): Promise<number> {
  const state = await store.findState(tx)
  const kept = openKept(file, key ?? verifierKeyOf(state), report)
  const checkpoints = [...kept, ...ownCheckpoint(state, report)]
  const keptSize = kept.at(-1)?.size ?? 0
  const walk = await walkLeaves(tx, { checkpoints, keptSize }, report)
  compareSize(walk, state, keptSize, report)
  if (!walk.hasGap) {
    await compareNodes(tx, walk, report)
    if (walk.end === Number(state.size) && !Buffer.concat(walk.tree.subtrees).equals(state.subtrees))
      report({ problem: 'damaged', detail: 'log_state has other hashes than the tree.' })
  }
  for (const { organizationId, events } of await store.selectOrganizations(tx))
    if ((walk.organizations.get(organizationId) ?? 0) !== Number(events))
      report({ problem: 'damaged', detail: `log_organizations has another number for ${organizationId}.` })
  for (const { id, organizationId } of await store.selectStrays(tx, batchSize))
    report({
      problem: 'inserted',
      event_id: id,
      detail: `The log does not have it (organization ${organizationId}).`,
    })
  for (const { id } of await store.selectLateInQueue(tx, new Date(walk.sequencedAt - lateMs)))
    report({ problem: 'late', event_id: id, detail: 'It is about to enter the log long after its time.' })
  return walk.end
}

/** The checkpoint in the database, which must be one of its tree too. */
function ownCheckpoint(state: LogState, report: Report): Checkpoint[] {
  const key = verifierKeyOf(state)
  if (state.checkpoint === null || !key) return []
  try {
    return [openCheckpoint(state.checkpoint, key)]
  } catch (error) {
    if (!(error instanceof NoteError)) throw error
    report({ problem: 'damaged', detail: `In the database: ${error.message}` })
    return []
  }
}

type Walk = {
  tree: Tree
  /** The index after the last leaf. */
  end: number
  /** Leaves are missing in between, so that the tree cannot be computed. */
  hasGap: boolean
  nodes: Node[]
  /** How many events each organization has. */
  organizations: Map<string, number>
  /** When the last leaf was appended, in milliseconds. */
  sequencedAt: number
}

async function walkLeaves(
  tx: Db,
  { checkpoints, keptSize }: { checkpoints: Checkpoint[]; keptSize: number },
  report: Report,
): Promise<Walk> {
  const walk: Walk = {
    tree: { size: 0, subtrees: [] },
    end: 0,
    hasGap: false,
    nodes: [],
    organizations: new Map(),
    sequencedAt: 0,
  }
  const mismatches: Mismatch[] = []
  const compareRoot = rootComparison(checkpoints, report)
  for (;;) {
    const batch = await store.selectLeavesAfter(tx, walk.end - 1, batchSize)
    for (const leaf of batch) {
      const index = Number(leaf.leafIndex)
      if (index > walk.end) {
        const detail = `The log lacks what was there, up to index ${index - 1}.`
        report({ problem: 'dropped', index: walk.end, detail })
        walk.hasGap = true
      }
      checkOrder(walk, leaf, report)
      const mismatch = checkEvent(leaf, report)
      if (mismatch) mismatches.push(mismatch)
      if (index >= keptSize) checkTime(leaf, report)
      walk.nodes.push(...append(walk.tree, leaf.hash))
      walk.end = index + 1
      walk.sequencedAt = leaf.sequencedAt.getTime()
      if (!walk.hasGap) compareRoot(walk.tree)
    }
    if (batch.length < batchSize) break
  }
  reportMismatches(mismatches, report)
  return walk
}

function checkOrder({ organizations }: Walk, leaf: store.LeafWithEvent, report: Report): void {
  const { organizationId, eventId: event_id } = leaf
  const [index, organizationIndex] = [Number(leaf.leafIndex), Number(leaf.organizationIndex)]
  const expected = organizations.get(organizationId) ?? 0
  organizations.set(organizationId, organizationIndex + 1)
  if (organizationIndex === expected) return
  const detail = `It is number ${organizationIndex} of its organization, after ${expected - 1}.`
  report({ problem: organizationIndex > expected ? 'dropped' : 'reordered', index, event_id, detail })
}

function checkEvent(leaf: store.LeafWithEvent, report: Report): Mismatch | undefined {
  const { event, eventId, hash } = leaf
  const index = Number(leaf.leafIndex)
  if (!event) {
    report({
      problem: 'dropped',
      index,
      event_id: eventId,
      detail: 'The log has it, the change log does not.',
    })
    return undefined
  }
  const place = { ...leaf, organizationIndex: Number(leaf.organizationIndex) }
  const accepts = (other: LoggedEvent) => hashEvent(other, place).equals(hash)
  const shown = presentEvent(event)
  return accepts(shown) ? undefined : { index, event: shown, accepts }
}

function checkTime({ event, leafIndex, sequencedAt }: store.LeafWithEvent, report: Report): void {
  if (!event || sequencedAt.getTime() - event.occurredAt.getTime() <= lateMs) return
  const detail = `It says ${event.occurredAt.toISOString()} and entered the log at ${sequencedAt.toISOString()}.`
  report({ problem: 'late', index: Number(leafIndex), event_id: event.id, detail })
}

/** Compares each checkpoint with the tree of its size. */
function rootComparison(checkpoints: Checkpoint[], report: Report): (tree: Tree) => void {
  const bySize = Map.groupBy(checkpoints, ({ size }) => size)
  let agreed = 0
  return (tree) => {
    const here = bySize.get(tree.size)
    if (!here) return
    if (here.every(({ root }) => root.equals(rootOf(tree)))) agreed = tree.size
    else
      report({
        problem: 'forked',
        index: agreed,
        detail:
          `The log is not the one of the checkpoint of ${tree.size} events. What differs is between the indexes ${agreed} ` +
          `and ${tree.size - 1}: the events were changed, and the hashes with them.`,
      })
  }
}

function compareSize({ end }: Walk, { size }: LogState, keptSize: number, report: Report): void {
  if (end < Number(size))
    report({ problem: 'truncated', index: end, detail: `From here on, events of the ${size} are missing.` })
  else if (end > Number(size))
    report({ problem: 'inserted', index: Number(size), detail: `The log has only ${size} events.` })
  else if (end < keptSize)
    report({
      problem: 'rolled_back',
      index: end,
      detail: `The checkpoint has ${keptSize} events: this is an earlier state, or the newest events were removed.`,
    })
}

async function compareNodes(tx: Db, { nodes }: Walk, report: Report): Promise<void> {
  const nameOf = ({ level, index }: Node) => `${level}/${index}`
  const stored = new Map((await store.selectNodes(tx)).map((node) => [nameOf(node), node.hash]))
  for (const node of nodes) {
    if (!stored.get(nameOf(node))?.equals(node.hash))
      report({ problem: 'damaged', detail: `log_nodes has another hash for ${nameOf(node)}, or none.` })
    stored.delete(nameOf(node))
  }
  for (const name of stored.keys())
    report({ problem: 'damaged', detail: `log_nodes has ${name}, which is no node of the tree.` })
}

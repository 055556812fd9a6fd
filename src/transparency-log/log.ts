import { LRUCache } from 'lru-cache'
import { type Caller, requirePermission } from '../access/caller.ts'
import { type LoggedEvent, presentEvent } from '../audit/logged-event.ts'
import { readableLog } from '../change-log/change-log.ts'
import { exportAuditEvents } from '../change-log/export.ts'
import type { Db } from '../db/database.ts'
import type { AuditEvent } from '../db/tables.ts'
import { AppError } from '../shared/errors.ts'
import { proveConsistency, proveInclusion, type TileReader, tileWidth } from '../shared/merkle-tree.ts'
import { verifierKeyOf } from './key.ts'
import { formatVerifierKey } from './note.ts'
import * as store from './store.ts'

export type Log = { key: string; size: number; checkpoint: string; signedAt: Date }

/** The log as of its last checkpoint. */
export async function readLog(db: Db, caller: Caller): Promise<Log> {
  requirePermission(caller, 'audit:read')
  return signedLog(db)
}

async function signedLog(db: Db): Promise<Log> {
  const state = await store.findState(db)
  const key = verifierKeyOf(state)
  const { checkpoint, checkpointAt: signedAt } = state
  if (!key || checkpoint === null || signedAt === null)
    throw new AppError(
      'not_found',
      'The transparency log has no checkpoint yet. Signing one takes MASTER_KEY and about a second.',
    )
  return { key: formatVerifierKey(key), size: Number(state.checkpointSize), checkpoint, signedAt }
}

/** The hashes of a tile; undefined if the signed tree does not have that many. */
export async function readTile(
  db: Db,
  caller: Caller,
  { level, index, width }: { level: number; index: number; width: number },
): Promise<Buffer[]> {
  const { size } = await readLog(db, caller)
  const signed = Math.floor(size / tileWidth ** level) - index * tileWidth
  const tile = signed >= width ? await store.selectTile(db, level, index) : []
  if (tile.length < width) throw new AppError('not_found', 'The log does not have this tile.')
  return tile.slice(0, width)
}

/** The first line of an export with proofs. */
export type ProofHead = {
  organization_id: string
  /** The verifier key of the log. */
  key: string
  /** The signed checkpoint that the proofs lead to. */
  checkpoint: string
  /** That the tree of this size, which somebody kept, is the beginning of that of the checkpoint. */
  consistency: { size: number; proof: string[] }
}

export type ProvenEvent = {
  index: number
  organization_index: number
  sequenced_at: string
  salt: string
  proof: string[]
  event: LoggedEvent
}

/** The events of an organization that the last checkpoint has, newest first, each with its proof. */
export async function exportProofs(
  db: Db,
  caller: Caller,
  organization: string,
  since: number,
): Promise<{ head: ProofHead; batches: AsyncIterable<ProvenEvent[]> }> {
  const organizationId = await readableLog(db, caller, organization)
  // Before the events, so that all that this checkpoint has are found.
  const { key, checkpoint, size } = await signedLog(db)
  if (since > size) {
    const detail = `is larger than the log, which has ${size} events. If you have a checkpoint of this size, the log was rolled back.`
    throw new AppError('invalid_value', `since ${detail}`, {
      fields: [{ in: 'query', field: 'since', detail }],
    })
  }
  const read = cachedTiles(db)
  const consistency = { size: since, proof: (await proveConsistency(read, since, size)).map(base64) }
  const events = await exportAuditEvents(db, caller, organization, {})
  async function* batches() {
    for await (const batch of events) yield await prove(batch)
  }
  async function prove(batch: AuditEvent[]): Promise<ProvenEvent[]> {
    const ids = batch.map(({ id }) => id)
    const leaves = new Map(
      (await store.selectLeavesOf(db, organizationId, ids)).map((leaf) => [leaf.eventId, leaf]),
    )
    const proven: ProvenEvent[] = []
    for (const event of batch) {
      const leaf = leaves.get(event.id)
      if (!leaf || Number(leaf.leafIndex) >= size) continue
      const index = Number(leaf.leafIndex)
      proven.push({
        index,
        organization_index: Number(leaf.organizationIndex),
        sequenced_at: leaf.sequencedAt.toISOString(),
        salt: base64(leaf.salt),
        proof: (await proveInclusion(read, index, size)).map(base64),
        event: presentEvent(event),
      })
    }
    return proven
  }
  return { head: { organization_id: organizationId, key, checkpoint, consistency }, batches: batches() }
}

/** Neighboring events share most tiles. */
const tilesKept = 64

function cachedTiles(db: Db): TileReader {
  const cache = new LRUCache<string, Buffer[]>({ max: tilesKept })
  return async (level, index) => {
    const name = `${level}/${index}`
    const tile = cache.get(name) ?? (await store.selectTile(db, level, index))
    cache.set(name, tile)
    return tile
  }
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64')
}

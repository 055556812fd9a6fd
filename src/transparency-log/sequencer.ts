import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { presentEvent } from '../audit/logged-event.ts'
import type { Db } from '../db/database.ts'
import type { AuditEvent, LogLeaf, LogState } from '../db/tables.ts'
import { emit } from '../events/events.ts'
import { canSign, type Signing } from '../keys/signing.ts'
import type { Interval } from '../shared/interval.ts'
import { append, hashBytes, type Node, rootOf, type Tree } from '../shared/merkle-tree.ts'
import { platformId } from '../shared/platform.ts'
import { hashEvent } from './entry.ts'
import { generateLogKey, openLogKey, verifierKeyOf } from './key.ts'
import { signCheckpoint } from './note.ts'
import * as store from './store.ts'

export type Sequencer = {
  /** Appends every event that has been committed. */
  flush(): Promise<void>
  close(): Promise<void>
}

type Options = {
  /** The name of the log, if it has none yet. */
  origin: string
  signing: Signing
  now(): Date
  every: Interval
  log: { error(facts: object, message: string): void }
  onError(error: Error): void
}

/** How long an event waits at most until it is in a signed checkpoint, while there is room. */
const everyMs = 1_000
const batchSize = 1_000
/** How often webhooks get a new checkpoint at most. */
const announcedEveryMs = 60_000

/** Appends the events of the change log to the tree, and signs it. Any number of instances may do so; one at a time does. */
export function createSequencer(db: Db, { every, onError, ...context }: Options): Sequencer {
  let closed = false
  let working: Promise<void> | undefined

  function work(): Promise<void> {
    working ??= rounds().finally(() => {
      working = undefined
    })
    return working
  }

  async function rounds(): Promise<void> {
    const { signing, now } = context
    const announcedBefore = new Date(now().getTime() - announcedEveryMs)
    let more = await store.hasWork(db, { canSign: canSign(signing), announcedBefore })
    while (more && !closed) {
      more = await db.transaction().execute((tx) => appendBatch(tx, context))
      await setImmediate()
    }
  }

  const stop = every(everyMs, () => void work().catch(onError))
  return {
    flush: work,
    async close() {
      stop()
      closed = true
      await working?.catch(onError)
    },
  }
}

type Context = Pick<Options, 'origin' | 'signing' | 'now' | 'log'>

/** Appends some events; true if there may be more. Does nothing while another instance is doing so. */
async function appendBatch(tx: Db, context: Context): Promise<boolean> {
  const state = await store.lockState(tx)
  if (!state) return false
  const { events, scanned, more } = await nextEvents(tx, state)
  const tree = treeOf(state)
  if (events.length > 0) {
    const { leaves, nodes } = await place(tx, tree, events, context.now())
    await store.insertLeaves(tx, leaves)
    await store.insertNodes(tx, nodes)
  }
  const signed = await sign(tree, state, context)
  await store.updateState(tx, {
    size: String(tree.size),
    subtrees: Buffer.concat(tree.subtrees),
    ...scanned,
    ...signed,
  })
  await announce(tx, { ...state, ...signed }, context.now())
  return more
}

type Signed = Pick<LogState, 'origin' | 'publicKey' | 'checkpoint' | 'checkpointSize' | 'checkpointAt'> & {
  sealedPrivateJwk: string
}

type Announced = Pick<LogState, 'origin' | 'checkpoint' | 'checkpointSize' | 'announcedSize' | 'announcedAt'>

type Position = Pick<LogState, 'scannedOrganization' | 'scannedEvent'>

/** Events from the queue; once it is empty, those of before the log. */
async function nextEvents(
  tx: Db,
  { scannedOrganization: organizationId, scannedEvent: eventId }: LogState,
): Promise<{ events: AuditEvent[]; scanned?: Position; more: boolean }> {
  const events = await store.takeQueued(tx, batchSize)
  if (events.length > 0 || organizationId === null || eventId === null)
    return { events, more: events.length > 0 }
  const found = await store.scanEvents(tx, { organizationId, eventId }, batchSize)
  const last = found.at(-1)
  return {
    events: found.filter(({ isLogged }) => !isLogged),
    scanned: { scannedOrganization: last?.organizationId ?? null, scannedEvent: last?.id ?? null },
    more: last !== undefined,
  }
}

function treeOf({ size, subtrees }: LogState): Tree {
  const count = subtrees.length / hashBytes
  return {
    size: Number(size),
    subtrees: Array.from({ length: count }, (_, i) => subtrees.subarray(i * hashBytes, (i + 1) * hashBytes)),
  }
}

async function place(
  tx: Db,
  tree: Tree,
  events: AuditEvent[],
  sequencedAt: Date,
): Promise<{ leaves: LogLeaf[]; nodes: Node[] }> {
  const leaves: LogLeaf[] = []
  const nodes: Node[] = []
  const added = new Map<string, number>()
  for (const { organizationId } of events) added.set(organizationId, (added.get(organizationId) ?? 0) + 1)
  const next = await store.countEvents(tx, added)
  for (const event of events) {
    const { organizationId } = event
    const organizationIndex = next.get(organizationId) ?? 0
    next.set(organizationId, organizationIndex + 1)
    const placement = { organizationId, organizationIndex, sequencedAt, salt: randomBytes(16) }
    const hash = hashEvent(presentEvent(event), placement)
    leaves.push({
      ...placement,
      organizationIndex: String(organizationIndex),
      leafIndex: String(tree.size),
      eventId: event.id,
      hash,
    })
    nodes.push(...append(tree, hash))
  }
  return { leaves, nodes }
}

/** The new checkpoint, and a new key if the log has none. */
async function sign(
  tree: Tree,
  state: LogState,
  { origin, signing, now, log }: Context,
): Promise<Partial<Signed>> {
  if (!canSign(signing) || tree.size === Number(state.checkpointSize)) return {}
  const { sealedPrivateJwk } = state
  const existing = verifierKeyOf(state)
  try {
    const sealed =
      existing && sealedPrivateJwk
        ? { ...existing, sealedPrivateJwk }
        : await generateLogKey(state.origin ?? origin, signing)
    const { name, publicKey, privateKey } = await openLogKey(sealed, signing)
    const checkpoint = { origin: name, size: tree.size, root: rootOf(tree) }
    return {
      origin: name,
      publicKey,
      sealedPrivateJwk: JSON.stringify(sealed.sealedPrivateJwk),
      checkpoint: await signCheckpoint(checkpoint, { publicKey, privateKey }),
      checkpointSize: String(tree.size),
      checkpointAt: now(),
    }
  } catch (err) {
    // Events are appended all the same, and the next checkpoint that can be signed has them.
    log.error({ err }, 'signing a checkpoint of the transparency log failed')
    return {}
  }
}

/** Sends the checkpoint to webhooks, unless they got one a short while ago. */
async function announce(
  tx: Db,
  { origin, checkpoint, checkpointSize, announcedSize, announcedAt }: Announced,
  now: Date,
): Promise<void> {
  const isDue = (announcedAt?.getTime() ?? 0) <= now.getTime() - announcedEveryMs
  if (origin === null || checkpoint === null || checkpointSize === announcedSize || !isDue) return
  await store.updateState(tx, { announcedSize: checkpointSize, announcedAt: now })
  const data = { origin, size: Number(checkpointSize), checkpoint }
  await emit(tx, [
    { type: 'log.checkpoint', organizationId: platformId, subject: origin, occurredAt: now, data },
  ])
}

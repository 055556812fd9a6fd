import { type Api, ApplyError } from '../apply/api.ts'
import type { Db } from '../db/database.ts'
import { findLastKept, readFeed } from '../revocations/revocations.ts'
import { parseCursor } from '../shared/feed-cursor.ts'
import { parseHash } from '../shared/secret.ts'
import { findByHash } from '../tokens/find.ts'
import type { Line } from './export.ts'

/** The step that was taken for an event, or that an administrator has to take. */
export type Step = {
  action: 'revoke' | 'end overlap' | 'suspend' | 'review'
  subject: string
  /** The event; null with `--suspend-all`. */
  event: Line | null
}

export type Context = {
  db: Db
  /** Changes the database directly. */
  api: Api
  dryRun: boolean
  onStep(step: Step): void
}

const reason = 'Revoked after the backup that was restored.'

export type Export = [first: Line, ...Line[]]

export function parseExport(text: string): Export {
  const lines = text.trimEnd().split('\n').map(parseLine)
  if (lines[0]?.reason === 'started') return lines as Export
  throw new ApplyError('The file is not a complete export: its first line is missing.')
}

/** Repeats in a restored database the revocations that an export of the feed has and the database lacks. */
export async function replay(lines: Export, context: Context): Promise<void> {
  const [first] = lines
  const { db, onStep } = context
  const positions = lines.map(({ id, at }) => ({ position: positionOf(id), at: new Date(at) }))
  const kept = await findLastKept(db, positions.slice(1))
  const { newest } = await readFeed(db, undefined, 0)
  if (kept === -1 && newest.position < positionOf(first.id))
    onStep({
      action: 'review',
      subject: 'the export begins after the backup: earlier events are missing',
      event: first,
    })
  // An export that begins with the last event of the backup has none that the backup has too.
  for (const line of lines.slice(kept + 2)) await replayEvent(line, context)
}

async function replayEvent(event: Line, context: Context): Promise<void> {
  const { reason: why, organization, type, owner, hash } = event
  const take = (action: Step['action'], subject: string, path?: string, body?: object) =>
    act(context, { action, subject, event }, path, body)
  if (why === 'gap') return take('review', 'the export has a gap: events before it are missing')
  if (hash) return replaySecret(event, hash, context)
  const subject = [organization, type && `type ${type}`, owner && `owner ${owner}`].filter(Boolean).join(', ')
  if (why !== 'suspended' && why !== 'deleted') return take('review', subject || 'everything')
  const within = organization ? `/v1/organizations/${encodeURIComponent(organization)}` : '/v1'
  const path = owner
    ? `${within}/owners/${encodeURIComponent(owner)}`
    : type
      ? `${within}/token-types/${encodeURIComponent(type)}`
      : within
  // Organizations and owners that were deleted since are suspended, so that an administrator can delete them again.
  await suspend(context, { subject, event }, path)
}

async function replaySecret(event: Line, text: string, context: Context): Promise<void> {
  const hash = parseHash(text)
  if (!hash) throw new ApplyError('The export has truncated hashes: export the feed without hash_prefix.')
  const token = await findByHash(context.db, hash)
  if (!token || token.revokedAt) return
  const subject = `${token.organizationKey}, token ${token.id}`
  const path = `/v1/organizations/${token.organizationId}/tokens/${token.id}`
  if (event.reason === 'changed') return act(context, { action: 'review', subject, event })
  // If the current secret has ended, the token has another one, which the restored database does not know.
  if (event.reason === 'secret_ended' && !token.hash.equals(hash))
    return act(context, { action: 'end overlap', subject, event }, `${path}/rotate/finish`)
  await act(context, { action: 'revoke', subject, event }, `${path}/revoke`, { reason })
}

/** Suspends every organization until an administrator decides. */
export async function suspendAll(context: Context): Promise<void> {
  for (let after: unknown = null; after !== undefined; ) {
    const query = after === null ? '' : `&cursor=${after}`
    const { items, next_cursor } = (await context.api('GET', `/v1/organizations?limit=200${query}`)).body
    for (const { id, key } of items as { id: string; key: string }[])
      if (key !== 'platform') await suspend(context, { subject: key, event: null }, `/v1/organizations/${id}`)
    after = next_cursor ?? undefined
  }
}

/** Unless it does not exist, or is suspended already. */
async function suspend(context: Context, step: Omit<Step, 'action'>, path: string): Promise<void> {
  const { status, body } = await context.api('GET', path)
  if (status === 404 || body.suspended_at !== null) return
  await act(context, { action: 'suspend', ...step }, `${path}/suspend`)
}

async function act(
  { api, dryRun, onStep }: Context,
  step: Step,
  path?: string,
  body?: object,
): Promise<void> {
  if (path !== undefined && !dryRun) await api('POST', path, body)
  onStep(step)
}

function parseLine(text: string, index: number): Line {
  try {
    const line = JSON.parse(text) as Line
    if (parseCursor(line.id) && !Number.isNaN(Date.parse(line.at))) return line
  } catch {}
  throw new ApplyError(`Line ${index + 1} is not an event of the feed.`)
}

function positionOf(cursor: string): number {
  return parseCursor(cursor)?.position ?? 0
}

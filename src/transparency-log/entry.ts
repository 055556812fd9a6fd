import type { LoggedEvent } from '../audit/logged-event.ts'
import { hashLeaf } from '../shared/merkle-tree.ts'

/** What the log adds to an event. */
export type Placement = {
  organizationId: string
  /** How many events of the organization are before it. */
  organizationIndex: number
  sequencedAt: Date
  salt: Buffer
}

/**
 * The hash of a leaf: SHA-256 of 0x00, the salt, and the event as canonical JSON (RFC 8785). Its form must never change,
 * also if the API gives events more members. It has what the API shows: a microsecond in the database makes no difference.
 */
export function hashEvent(event: LoggedEvent, placement: Placement): Buffer {
  const { id, occurred_at, actor, on_behalf_of, action, target, changes, request_id, ip } = event
  const { organizationId, organizationIndex, sequencedAt, salt } = placement
  const entry = {
    organization_id: organizationId,
    organization_index: organizationIndex,
    sequenced_at: sequencedAt.toISOString(),
    event: { id, occurred_at, actor, on_behalf_of, action, target, changes, request_id, ip },
  }
  return hashLeaf(Buffer.concat([salt, Buffer.from(canonicalJson(entry))]))
}

/** RFC 8785. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(',')}}`
}

import { v7 as uuid } from 'uuid'
import { type Caller, requirePermission } from '../access/caller.ts'
import { rejectEscalation } from '../access/escalation.ts'
import { type Action, type NewAuditEvent, record } from '../audit/audit.ts'
import { changeLocked } from '../audit/change-resource.ts'
import { differences } from '../audit/changes.ts'
import type { Db } from '../db/database.ts'
import type { Changes, Organization, SignatureScheme, Webhook } from '../db/tables.ts'
import { reseal } from '../keys/sealed.ts'
import { type Signing, sealingKey } from '../keys/signing.ts'
import { lockOrganization, reachableOrganization } from '../organizations/lookup.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { AppError, invalidValue } from '../shared/errors.ts'
import type { EventType } from '../shared/event-types.ts'
import { platformId } from '../shared/platform.ts'
import type { ExpectedVersions } from '../shared/preconditions.ts'
import { hastenDeliveries } from './delivery-store.ts'
import { generateSecret } from './signature.ts'
import * as store from './store.ts'

export type NewWebhook = {
  url: string
  description: string | null
  events: EventType[] | null
  signature: SignatureScheme
}

export type WebhookChange = Partial<Pick<NewWebhook, 'url' | 'description' | 'events'>> & { paused?: boolean }

export type Which = { organization: string; webhook: string; expected: ExpectedVersions }

/** A webhook with the secret that is shown once; null for ed25519, whose public key is in the webhook. */
export type WithSecret = { webhook: Webhook; secret: string | null }

const mostPerOrganization = 50

export async function createWebhook(
  db: Db,
  caller: Caller,
  organizationKey: string,
  { input, outbound, signing }: { input: NewWebhook; outbound: Outbound; signing: Signing },
): Promise<WithSecret> {
  const { id: organizationId } = await administered(db, caller, organizationKey)
  rejectUnfitUrl(outbound, input.url)
  const id = uuid()
  const { sealed, secret, publicKey } = await newSecret(signing, input.signature, id)
  const webhook = await db.transaction().execute(async (tx) => {
    await lockOrganization(tx, organizationId)
    const count = await store.countWebhooks(tx, organizationId)
    if (count >= mostPerOrganization)
      throw new AppError('limit_reached', `The organization has ${count} of ${mostPerOrganization} webhooks.`)
    const created = await store.insertWebhook(tx, {
      organizationId,
      id,
      ...input,
      sealedSecret: JSON.stringify(sealed),
      publicKey,
      sealedPreviousSecret: null,
      previousPublicKey: null,
      previousUntil: null,
      pausedAt: null,
      disabledAt: null,
      disabledReason: null,
      failingSince: null,
      failingAnnouncedAt: null,
      createdAt: caller.now,
      updatedAt: caller.now,
    })
    const changes = { before: {}, after: loggable(created) }
    await record(tx, caller, webhookEvent('webhook.created', created, changes))
    return created
  })
  return { webhook, secret }
}

export async function listWebhooks(db: Db, caller: Caller, organizationKey: string): Promise<Webhook[]> {
  const { id } = await readable(db, caller, organizationKey)
  return store.selectWebhooks(db, id)
}

export async function getWebhook(
  db: Db,
  caller: Caller,
  { organization, webhook }: Omit<Which, 'expected'>,
): Promise<Webhook> {
  const { id: organizationId } = await readable(db, caller, organization)
  return (await store.findWebhook(db, { organizationId, id: webhook })) ?? notFound()
}

/** `paused: false` also enables a webhook that was disabled; pending deliveries are then attempted at once. */
export async function updateWebhook(
  db: Db,
  caller: Caller,
  which: Which,
  { change: { paused, ...input }, outbound }: { change: WebhookChange; outbound: Outbound },
): Promise<Webhook> {
  return changingWebhook(db, caller, which, async (tx, current) => {
    if (input.url !== undefined) rejectUnfitUrl(outbound, input.url)
    const before = { ...current, paused: isStopped(current) }
    const changes = differences<object>(before, { ...input, ...(paused !== undefined && { paused }) })
    if (!changes) return current
    const enabled = { pausedAt: null, disabledAt: null, disabledReason: null }
    const changed = await store.updateWebhook(tx, current, {
      ...input,
      ...(paused === true && { pausedAt: current.pausedAt ?? caller.now }),
      ...(paused === false && { ...enabled, failingSince: null, failingAnnouncedAt: null }),
      updatedAt: caller.now,
    })
    if (isStopped(current) && !isStopped(changed)) await hastenDeliveries(tx, changed, caller.now)
    await record(tx, caller, webhookEvent('webhook.updated', changed, withoutPaths(changes)))
    return changed
  })
}

export async function deleteWebhook(db: Db, caller: Caller, which: Which): Promise<void> {
  await changingWebhook(db, caller, which, async (tx, webhook) => {
    await store.deleteWebhook(tx, webhook)
    const changes = { before: loggable(webhook), after: {} }
    await record(tx, caller, webhookEvent('webhook.deleted', webhook, changes))
  })
}

/** Until the overlap ends, messages carry a signature by the previous secret too. */
export async function rotateSecret(
  db: Db,
  caller: Caller,
  which: Which,
  { overlapSeconds, signing }: { overlapSeconds: number; signing: Signing },
): Promise<WithSecret> {
  let shown: string | null = null
  const webhook = await changingWebhook(db, caller, which, async (tx, current) => {
    const { sealed, secret, publicKey } = await newSecret(signing, current.signature, current.id)
    shown = secret
    const overlaps = overlapSeconds > 0
    const changed = await store.updateWebhook(tx, current, {
      sealedSecret: JSON.stringify(sealed),
      publicKey,
      sealedPreviousSecret: overlaps ? JSON.stringify(current.sealedSecret) : null,
      previousPublicKey: overlaps ? current.publicKey : null,
      previousUntil: overlaps ? new Date(caller.now.getTime() + overlapSeconds * 1000) : null,
      updatedAt: caller.now,
    })
    await record(tx, caller, webhookEvent('webhook.secret_rotated', changed))
    return changed
  })
  return { webhook, secret: shown }
}

/**
 * Changes a webhook or its secret. Webhooks send contents of the change log, so this requires the permission to read
 * it, and a caller that is limited neither to some tokens nor to networks.
 */
export async function changingWebhook<T>(
  db: Db,
  caller: Caller,
  { organization, webhook: id, expected }: Which,
  change: (tx: Db, webhook: Webhook) => Promise<T>,
): Promise<T> {
  const { id: organizationId } = await administered(db, caller, organization)
  const lock = async (tx: Db) => (await store.lockWebhook(tx, { organizationId, id })) ?? notFound()
  return changeLocked(db, { lock, expected }, change)
}

/** Reseals every secret under the first master key, all or none, and returns how many there are. */
export async function rewrapSecrets(db: Db, signing: Signing): Promise<number> {
  const masterKey = sealingKey(signing, 'sign webhooks')
  return db.transaction().execute(async (tx) => {
    let count = 0
    for (const webhook of await store.lockAllWebhooks(tx)) {
      const [current, previous] = await Promise.all(
        [webhook.sealedSecret, webhook.sealedPreviousSecret].map(
          (sealed) => sealed && reseal(sealed, webhook.id, signing.masterKeys, masterKey),
        ),
      )
      if (!current || previous === undefined)
        throw new AppError(
          'unavailable',
          `MASTER_KEY does not open the secrets of the webhook ${webhook.id}.`,
        )
      await store.updateWebhook(tx, webhook, {
        sealedSecret: JSON.stringify(current),
        sealedPreviousSecret: previous && JSON.stringify(previous),
      })
      count += previous ? 2 : 1
    }
    return count
  })
}

/** In all organizations, without a permission check: for operators. */
export async function webhookHealth(db: Db): Promise<{ all: number; failing: number; disabled: number }> {
  return store.countByHealth(db)
}

/** A URL may contain a secret, as those of chat services do, so the change log and the logs contain only its origin. */
export function originOf(url: string): string {
  return new URL(url).origin
}

export function webhookEvent(
  action: Action,
  { organizationId, id, url }: Webhook,
  changes?: Changes,
): NewAuditEvent {
  const target = { type: 'webhook', id, name: originOf(url) } as const
  return { organizationId, action, target, ...(changes && { changes }) }
}

export function isStopped({ pausedAt, disabledAt }: Webhook): boolean {
  return pausedAt !== null || disabledAt !== null
}

export function notFound(): never {
  throw new AppError('not_found', 'There is no such webhook.')
}

async function readable(db: Db, caller: Caller, organizationKey: string): Promise<Organization> {
  const organization = await reachableOrganization(db, caller, organizationKey)
  requirePermission(caller, 'policy:read')
  return organization
}

async function administered(db: Db, caller: Caller, organizationKey: string): Promise<Organization> {
  const organization = await reachableOrganization(db, caller, organizationKey)
  requirePermission(caller, 'policy:write')
  // The platform's webhooks get the events of every organization.
  const narrowedTo = organization.id === platformId ? {} : { organizations: [organization.key] }
  rejectEscalation(caller, { permissions: ['audit:read'], narrowedTo, networks: null })
  return organization
}

function rejectUnfitUrl(outbound: Outbound, url: string): void {
  const flaw = outbound.flawOf(url)
  if (flaw) throw invalidValue('url', flaw)
}

function newSecret(signing: Signing, scheme: SignatureScheme, id: string) {
  return generateSecret(scheme, id, sealingKey(signing, 'sign webhooks'))
}

function loggable({ url, description, events, signature }: Webhook): Record<string, unknown> {
  return { url: originOf(url), description, events, signature }
}

function withoutPaths({ before, after }: Changes): Changes {
  const short = (members: Record<string, unknown>) =>
    typeof members.url === 'string' ? { ...members, url: originOf(members.url) } : members
  return { before: short(before), after: short(after) }
}

import { type Static, Type } from 'typebox'
import type { Delivery as DeliveryRow, Webhook as Row } from '../db/tables.ts'
import { unchangeableOf } from '../http/messages.ts'
import { Page, pageQuery } from '../http/pages.ts'
import { DateTime, Id, nullable, OrganizationParams, ref } from '../http/schemas.ts'
import { type EventType, eventTypes } from '../shared/event-types.ts'
import type { ReplayRange } from './deliveries.ts'
import type { NewWebhook, WebhookChange as ParsedChange, WithSecret } from './webhooks.ts'

const closed = { additionalProperties: false }

const Events = Type.Unsafe<EventType[] | null>({
  type: ['array', 'null'],
  items: { type: 'string', enum: [...eventTypes] },
  minItems: 1,
  uniqueItems: true,
  description: 'The types of event to send. Null: all.',
  examples: [['token.expiring', 'token.revoked', 'token.leaked']],
})

const input = {
  url: Type.String({
    maxLength: 1000,
    pattern: '^https?://[\\x21\\x22\\x24-\\x7E]+$',
    'x-pattern-message':
      'must be an http or https URL of printable ASCII characters, without spaces and fragment',
    description: 'Where to send events. Redirects are not followed.',
    examples: ['https://hooks.example/counterfoil'],
  }),
  description: nullable.string({ maxLength: 500, examples: ['Ticket system'] }),
  events: Events,
}

const Signature = Type.Enum(['hmac', 'ed25519'], {
  type: 'string',
  description:
    'How messages are signed: with a shared secret, or with a private key that Counterfoil does not show.',
  examples: ['hmac'],
})

export const WebhookCreation = Type.Object(
  {
    url: input.url,
    description: Type.Optional(input.description),
    events: Type.Optional(input.events),
    signature: Type.Optional({ ...Signature, default: 'hmac' }),
  },
  { $id: 'WebhookCreation', ...closed, description: 'A new webhook.' },
)

const members = {
  id: Id,
  ...input,
  signature: Signature,
  public_keys: Type.Array(Type.String({ examples: ['whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='] }), {
    description: 'For ed25519: the keys to verify with, the current one first.',
    examples: [[]],
  }),
  status: Type.Enum(['active', 'failing', 'paused', 'disabled'], {
    type: 'string',
    description:
      '`failing` since the last attempt failed. After five days of failures, or after the status 410, the webhook is ' +
      '`disabled`.',
  }),
  failing_since: nullable.dateTime({ description: 'The first failure since the last success.' }),
  disabled_reason: nullable.string({ examples: [null] }),
  previous_secret_until: nullable.dateTime({
    description: 'Until when messages are signed by the previous secret too.',
  }),
  created_at: DateTime(),
  updated_at: DateTime(),
}

export const Webhook = Type.Object(members, {
  $id: 'Webhook',
  description: 'An endpoint that receives events.',
})

export const WebhookChange = Type.Object(
  {
    url: Type.Optional(input.url),
    description: Type.Optional(input.description),
    events: Type.Optional(input.events),
    paused: Type.Optional(
      Type.Boolean({
        description:
          'Whether deliveries wait. `false` also enables a webhook that was disabled; waiting deliveries are then sent at once.',
      }),
    ),
  },
  {
    $id: 'WebhookChange',
    ...closed,
    description: 'Members that are left out keep their values; null or `""` clears a member.',
    ...unchangeableOf(Webhook, WebhookCreation),
  },
)

export const WebhookWithSecret = Type.Object(
  {
    ...members,
    secret: nullable.string({
      description: 'The secret to verify signatures with, shown only here. Null for ed25519.',
      examples: [null],
    }),
  },
  { $id: 'WebhookWithSecret', description: 'A webhook with its new secret.' },
)

export const WebhookList = Type.Object(
  { items: Type.Array(ref(Webhook)) },
  { $id: 'WebhookList', description: 'All webhooks of an organization, in the order of their creation.' },
)

export const SecretRotation = Type.Object(
  {
    overlap_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 7 * 24 * 60 * 60,
        default: 24 * 60 * 60,
        description: 'How long messages are signed by the previous secret too; 0 if it has leaked.',
      }),
    ),
  },
  { $id: 'WebhookSecretRotation', ...closed },
)

const Status = (options: object = {}) =>
  Type.Enum(['pending', 'delivered', 'failed'], { type: 'string', ...options })

export const Delivery = Type.Object(
  {
    id: { ...Id, description: 'The `webhook-id` of the message.' },
    type: Type.String({ description: 'The type of the event.', examples: ['token.expiring'] }),
    occurred_at: DateTime({ description: 'When the event occurred.' }),
    status: Status({ description: '`failed` after the last attempt of the schedule.' }),
    attempts: Type.Integer(),
    next_attempt_at: nullable.dateTime({
      description: 'The earliest time of the next attempt. It waits for earlier events of the same token.',
    }),
    attempted_at: nullable.dateTime({ description: 'When the last attempt began.' }),
    duration_ms: nullable.integer({ description: 'How long the last attempt took.' }),
    response_status: nullable.integer({ description: 'The HTTP status of the last response.' }),
    error: nullable.string({ description: 'Why the last attempt failed.' }),
  },
  { $id: 'Delivery', description: 'A message to a webhook, and its state.' },
)

export const DeliveryPage = Page(Delivery, 'DeliveryPage')

export const DeliveryQuery = Type.Object({ status: Type.Optional(Status()), ...pageQuery }, closed)

export const DeliveryPosition = Type.Object({ position: Type.String({ pattern: '^[0-9]{1,19}$' }) })

export const Replay = Type.Object(
  {
    since: DateTime({
      description: 'Events at this instant or later.',
      examples: ['2026-02-28T12:00:00.000Z'],
    }),
    until: Type.Optional(DateTime({ description: 'Events before this instant. Left out: all later ones.' })),
    status: Type.Optional(
      Type.Enum(['failed', 'delivered', 'all'], {
        type: 'string',
        default: 'failed',
        description: 'Which deliveries to repeat. All of them keep their `webhook-id`.',
      }),
    ),
  },
  { $id: 'WebhookReplay', ...closed },
)

export const Replayed = Type.Object(
  {
    replayed: Type.Integer({ description: 'How many deliveries are repeated.' }),
    more: Type.Boolean({ description: 'Whether the range may contain more: repeat the request later.' }),
  },
  { $id: 'WebhookReplayed', description: 'The result of a replay.' },
)

export const WebhookParams = Type.Object({ ...OrganizationParams.properties, webhook: Id })
export const DeliveryParams = Type.Object({ ...WebhookParams.properties, delivery: Id })

export const components = [
  Webhook,
  WebhookWithSecret,
  WebhookList,
  WebhookCreation,
  WebhookChange,
  SecretRotation,
  Delivery,
  DeliveryPage,
  Replay,
  Replayed,
]

export function parseCreation({
  url,
  description,
  events,
  signature,
}: Static<typeof WebhookCreation>): NewWebhook {
  return { url, description: description ?? null, events: events ?? null, signature: signature ?? 'hmac' }
}

export function parseChange({
  url,
  description,
  events,
  paused,
}: Static<typeof WebhookChange>): ParsedChange {
  return {
    ...(url !== undefined && { url }),
    ...(description !== undefined && { description }),
    ...(events !== undefined && { events }),
    ...(paused !== undefined && { paused }),
  }
}

export function parseReplay({ since, until, status }: Static<typeof Replay>): ReplayRange {
  return {
    since: new Date(since),
    until: until === undefined ? undefined : new Date(until),
    statuses: status === 'all' ? ['failed', 'delivered'] : [status ?? 'failed'],
  }
}

export function presentWebhook(row: Row): Static<typeof Webhook> {
  const overlaps = row.previousUntil !== null
  return {
    id: row.id,
    url: row.url,
    description: row.description,
    events: row.events,
    signature: row.signature,
    public_keys: [row.publicKey, overlaps ? row.previousPublicKey : null].filter((key) => key !== null),
    status: statusOf(row),
    failing_since: row.failingSince?.toISOString() ?? null,
    disabled_reason: row.disabledReason,
    previous_secret_until: row.previousUntil?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  }
}

export function presentWithSecret({ webhook, secret }: WithSecret): Static<typeof WebhookWithSecret> {
  return { ...presentWebhook(webhook), secret }
}

export function presentDelivery(row: DeliveryRow): Static<typeof Delivery> {
  return {
    id: row.id,
    type: row.type,
    occurred_at: row.occurredAt.toISOString(),
    status: row.status,
    attempts: row.attempts,
    next_attempt_at: row.nextAttemptAt?.toISOString() ?? null,
    attempted_at: row.attemptedAt?.toISOString() ?? null,
    duration_ms: row.durationMs,
    response_status: row.responseStatus,
    error: row.error,
  }
}

function statusOf({ disabledAt, pausedAt, failingSince }: Row): Static<typeof Webhook>['status'] {
  if (disabledAt) return 'disabled'
  if (pausedAt) return 'paused'
  return failingSince ? 'failing' : 'active'
}

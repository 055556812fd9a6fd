/** Events that are also actions of the change log. */
export const recordedEventTypes = [
  'token.created',
  'token.rotated',
  'token.revoked',
  'token.deleted',
  'token.superseded_secret_used',
  'token.leaked',
  'owner.suspended',
  'owner.resumed',
  'signing_key.rotated',
  'webhook.disabled',
] as const

/** Every event that a webhook can subscribe to. */
export const eventTypes = [
  ...recordedEventTypes,
  'token.expiring',
  'token.expired',
  'token.rotation_due',
  'webhook.failing',
  'log.checkpoint',
] as const

export type EventType = (typeof eventTypes)[number]

/** The types of event that are sent by mail. */
export const mailedTypes = [
  'token.expiring',
  'token.expired',
  'token.rotation_due',
  'token.superseded_secret_used',
  'token.leaked',
  'webhook.failing',
  'webhook.disabled',
] as const

export type MailedType = (typeof mailedTypes)[number]

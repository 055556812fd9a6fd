import { type Static, Type } from 'typebox'
import type { SignalStream as Row } from '../db/tables.ts'
import { unchangeableOf } from '../http/messages.ts'
import { DateTime, Id, nullable, OrganizationParams } from '../http/schemas.ts'
import { actionsOf, signalActions, signalTypes } from './events.ts'
import type { StreamInput } from './streams.ts'

const closed = { additionalProperties: false }

const Actions = Type.Record(Type.String({ maxLength: 500 }), Type.Enum(signalActions, { type: 'string' }), {
  maxProperties: 100,
  description: 'The effect of events on the owners that they are about, by the URI of the event type.',
  examples: [{ [String(signalTypes[0])]: 'suspend' }],
})

const members = {
  enabled: Type.Boolean({ description: 'Whether events are received.', examples: [true] }),
  audience: Type.String({
    minLength: 1,
    maxLength: 500,
    description: 'The required value in `aud` of its events.',
    examples: ['https://tokens.example/ssf'],
  }),
  jwks_uri: nullable.string({
    maxLength: 1000,
    description: 'The URL of the keys that sign events. Null: those of the issuer.',
    examples: [null],
  }),
  poll_url: nullable.string({
    maxLength: 1000,
    description: 'Where to fetch events (RFC 8936). Null: the issuer pushes them to `push_url`.',
    examples: [null],
  }),
}

const count = (description: string) => Type.Integer({ description, examples: [0] })

export const SignalStream = Type.Object(
  {
    ...members,
    push_url: Type.String({
      format: 'uri',
      description: 'Where the issuer sends events (RFC 8935).',
      examples: ['https://tokens.example/ssf/events/acme/019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'],
    }),
    has_poll_authorization: Type.Boolean(),
    actions: { ...Actions, description: 'The effect of each event type, with the defaults.' },
    received: count('Events received, with duplicates.'),
    duplicates: count('Events that had been received before; they have no effect.'),
    unknown_subjects: count('Events about users who own nothing here.'),
    last_event_at: nullable.dateTime(),
    verified_at: nullable.dateTime({ description: 'When the last verification event arrived.' }),
    verification_state: nullable.string({ description: 'Its `state`.', examples: [null] }),
    polled_at: nullable.dateTime(),
    poll_error: nullable.string({ description: 'Why the last poll failed.', examples: [null] }),
    created_at: DateTime(),
    updated_at: DateTime(),
  },
  { $id: 'SignalStream', description: 'The security events of a trusted issuer, and what was received.' },
)

export const SignalStreamInput = Type.Object(
  {
    enabled: Type.Optional(members.enabled),
    audience: members.audience,
    jwks_uri: Type.Optional(members.jwks_uri),
    poll_url: Type.Optional(members.poll_url),
    poll_authorization: Type.Optional(
      nullable.string({
        maxLength: 4000,
        pattern: '^[\\x20-\\x7E]+$',
        'x-pattern-message': 'must be printable ASCII characters',
        description:
          'The value of the header field Authorization for `poll_url`, which is encrypted and never shown. If it is left ' +
          'out, it stays as it is; with another `poll_url` it has to be given again.',
        examples: [null],
      }),
    ),
    actions: Type.Optional(Actions),
  },
  {
    $id: 'SignalStreamInput',
    ...closed,
    ...unchangeableOf(SignalStream, { properties: {} }),
    description: 'The security events of a trusted issuer.',
  },
)

export const SecurityEventToken = Type.String({
  $id: 'SecurityEventToken',
  minLength: 1,
  description: 'A security event token (RFC 8417), signed.',
  examples: ['eyJ0eXAiOiJzZWNldmVudCtqd3QifQ.e30.c2lnbmF0dXJl'],
})

export const SignalParams = Type.Object({ ...OrganizationParams.properties, issuer: Id })

export const components = [SignalStreamInput, SignalStream, SecurityEventToken]

export function parseStream(body: Static<typeof SignalStreamInput>): StreamInput {
  return {
    enabled: body.enabled ?? true,
    audience: body.audience,
    jwksUri: body.jwks_uri ?? null,
    pollUrl: body.poll_url ?? null,
    pollAuthorization: body.poll_authorization,
    actions: body.actions ?? {},
  }
}

export function presentStream(row: Row, pushUrl: string): Static<typeof SignalStream> {
  const at = (date: Date | null) => date?.toISOString() ?? null
  return {
    enabled: row.enabled,
    audience: row.audience,
    jwks_uri: row.jwksUri,
    poll_url: row.pollUrl,
    push_url: pushUrl,
    has_poll_authorization: row.pollAuthorization !== null,
    actions: actionsOf(row.actions),
    received: Number(row.received),
    duplicates: Number(row.duplicates),
    unknown_subjects: Number(row.unknownSubjects),
    last_event_at: at(row.lastEventAt),
    verified_at: at(row.verifiedAt),
    verification_state: row.verificationState,
    polled_at: at(row.polledAt),
    poll_error: row.pollError,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  }
}

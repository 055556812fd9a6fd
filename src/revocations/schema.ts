import { type Static, Type } from 'typebox'
import { DateTime, nullable, ref } from '../http/schemas.ts'
import { cursorPattern, formatCursor } from '../shared/feed-cursor.ts'
import type { Page } from './revocations.ts'
import type { Revocation } from './store.ts'

const cursorExample = '00000001.4711'
const CursorText = (description: string) =>
  Type.String({
    pattern: cursorPattern,
    'x-pattern-message': 'is not a cursor that this service issued',
    description,
    examples: [cursorExample],
  })

const hashPrefix = {
  hash_prefix: Type.Optional(
    Type.Integer({
      minimum: 4,
      maximum: 43,
      description:
        'Truncate each hash to this many characters. Drop every cached answer whose hash starts with it.',
    }),
  ),
}

export const RevocationQuery = Type.Object({
  since: Type.Optional(
    CursorText(
      'The `cursor` of the previous page. Without it, the response has no events and the cursor of the end of the feed.',
    ),
  ),
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 200, description: 'Maximum number of items.' }),
  ...hashPrefix,
})

export const StreamQuery = Type.Object(hashPrefix)

export const StreamHeaders = Type.Object({
  'last-event-id': Type.Optional(CursorText('Where to continue; without it the stream starts now.')),
})

export const RevocationEvent = Type.Object(
  {
    id: CursorText('The cursor after this event.'),
    at: DateTime({ description: 'When it was committed.' }),
    reason: Type.Enum(['revoked', 'deleted', 'secret_ended', 'changed', 'suspended', 'reset'], {
      type: 'string',
      description:
        '`changed`: cached answers about the token may be stale, so introspect it again. `reset`: ' +
        'the same for every token.',
    }),
    organization: nullable.string({
      description: 'The key of the organization. Without a hash and an owner: all its tokens.',
      examples: ['default'],
    }),
    type: nullable.string({
      description: 'The token type. Without a hash and an organization: all its tokens.',
      examples: ['api'],
    }),
    owner: nullable.string({
      description: 'The subject of an owner. Without a hash: all tokens of that owner in the organization.',
      examples: [null],
    }),
    token_id: nullable.string({ examples: ['019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d'] }),
    hash: nullable.string({
      description: 'SHA-256 of the secret in base64url (RFC 4648 §5), without padding, or its beginning.',
      examples: ['uU0nuZNNPgilLlLX2n2r-sSE7-N6U4DukIj3rOLvzek'],
    }),
  },
  {
    $id: 'RevocationEvent',
    description:
      'What stopped being good: one secret, all tokens of an owner, organization or type, or all tokens.',
  },
)

export const RevocationEventPage = Type.Object(
  {
    items: Type.Array(ref(RevocationEvent)),
    cursor: CursorText('Where to continue.'),
    more: Type.Boolean({ description: 'Whether more events are available.' }),
  },
  { $id: 'RevocationEventPage', description: 'Events in the order in which they were committed.' },
)

export const components = [RevocationEvent, RevocationEventPage]

export function presentRevocation(
  { cursor, at, reason, organizationKey, type, ownerSubject, tokenId, hash }: Revocation,
  hashLength = 43,
): Static<typeof RevocationEvent> {
  return {
    id: formatCursor(cursor),
    at: at.toISOString(),
    reason,
    organization: organizationKey,
    type,
    owner: ownerSubject,
    token_id: tokenId,
    hash: hash?.toString('base64url').slice(0, hashLength) ?? null,
  }
}

export function presentPage(
  { events, cursor, more }: Page,
  hashLength?: number,
): Static<typeof RevocationEventPage> {
  return {
    items: events.map((event) => presentRevocation(event, hashLength)),
    cursor: formatCursor(cursor),
    more,
  }
}

import { type Static, Type } from 'typebox'
import type { Session as Row } from '../db/tables.ts'
import { Page, pageQuery } from '../http/pages.ts'
import { DateTime, Id, nullable } from '../http/schemas.ts'
import { limits } from './sessions.ts'

export const Session = Type.Object(
  {
    id: Id,
    principal: Type.Object(
      {
        type: Type.Enum(['token', 'user'], { type: 'string' }),
        id: Type.String({
          description: 'The id of the token, or the subject of the user.',
          examples: ['019aa0c4-5b2f-7a10-8c3d-6e7f80912a3b'],
        }),
        name: Type.String({
          description: 'The name when the session was opened.',
          examples: ['Deployments'],
        }),
      },
      { description: 'The token or user that the session acts as.' },
    ),
    current: Type.Boolean({ description: 'Whether this session authenticated this request.' }),
    user_agent: nullable.string({
      description: 'The User-Agent of the browser.',
      examples: ['Mozilla/5.0'],
    }),
    ip: nullable.string({ description: 'The address from which it was opened.', examples: ['192.0.2.7'] }),
    created_at: DateTime(),
    last_seen_at: DateTime({ description: 'When it was last used, to the minute.' }),
    expires_at: DateTime({
      description:
        'When it ends unless it is used before; at the latest twelve hours after it was opened, or five minutes if the provider of its user cannot be asked again.',
    }),
  },
  { $id: 'Session', description: 'A session of the console.' },
)

export const SessionPage = Page(Session, 'SessionPage')
export const ListQuery = Type.Object(pageQuery)
export const Position = Type.Object({ created_at: Type.String(), id: Type.String() })
export const SessionParams = Type.Object({ session: Id })
export const components = [Session, SessionPage]

export function presentSession(row: Row, currentId: string | undefined): Static<typeof Session> {
  const idleEnd = row.lastSeenAt.getTime() + limits.idleMs
  return {
    id: row.id,
    principal:
      row.tokenId === null
        ? { type: 'user', id: row.subject ?? '', name: row.name }
        : { type: 'token', id: row.tokenId, name: row.name },
    current: row.id === currentId,
    user_agent: row.userAgent,
    ip: row.ip,
    created_at: row.createdAt.toISOString(),
    last_seen_at: row.lastSeenAt.toISOString(),
    expires_at: new Date(Math.min(idleEnd, row.expiresAt.getTime())).toISOString(),
  }
}

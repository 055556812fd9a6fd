import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { type Caller, isUser } from '../access/caller.ts'
import { isGoodFrom } from '../access/credential.ts'
import type { Session } from '../db/tables.ts'
import { callerOf } from '../http/caller.ts'
import type { Deps } from '../http/deps.ts'
import { page, positionIn } from '../http/pages.ts'
import { rejectCrossOrigin } from '../http/same-origin.ts'
import { answer, noContent, problems } from '../http/schemas.ts'
import { plainAddress } from '../shared/addresses.ts'
import { AppError, badCredential } from '../shared/errors.ts'
import { Secret } from '../shared/secret.ts'
import type { SessionCookie } from './cookie.ts'
import * as schema from './schema.ts'
import * as sessions from './sessions.ts'

const collection = '/sessions'
const item = '/sessions/:session'
const tags = ['Sessions']

type SessionDeps = Deps & { cookie: SessionCookie }

/** Opens a session in place of the browser's previous one, and returns it with its cookie. */
export async function open(
  { db, cookie }: Pick<SessionDeps, 'db' | 'cookie'>,
  { headers }: FastifyRequest,
  caller: Caller,
  how: Pick<sessions.Opening, 'by' | 'user'>,
): Promise<{ session: Session; setCookie: string }> {
  const replaced = cookie.read(headers.cookie)
  const { secret, session } = await sessions.openSession(db, caller, {
    ...how,
    userAgent: headers['user-agent'],
    replaced,
  })
  return { session, setCookie: cookie.set(secret) }
}

export const sessionRoutes: FastifyPluginAsyncTypebox<SessionDeps> = async (app, deps) => {
  const { db, cookie, cursorKey } = deps
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'POST',
    url: collection,
    schema: {
      operationId: 'createSession',
      summary: 'Open a session of the console with the token of this request',
      description:
        'The response sets a cookie, which authenticates requests of the same browser as the token does, until it is signed ' +
        'out, the session ends, or the token is no longer good.',
      tags,
      response: {
        201: answer(schema.Session, 'The session', 'Location'),
        ...problems(400, 401, 403, 413, 415, 500, 503),
      },
    },
    handler: async (request, reply) => {
      rejectAllButTokens(request)
      const { session, setCookie } = await open(deps, request, request.caller, { by: 'token' })
      reply.code(201).header('location', `${app.basePath}/v1/sessions/${session.id}`)
      reply.header('set-cookie', setCookie)
      return schema.presentSession(session, session.id)
    },
  })

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listSessions',
      summary:
        'List sessions of the console, page by page: your own, or with `tokens:read` all that you reach',
      tags,
      querystring: schema.ListQuery,
      response: {
        200: answer(schema.SessionPage, 'A page of sessions', 'Link'),
        ...problems(400, 401, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, query, sessionId } = request
      const before = positionIn(schema.Position, request, cursorKey)
      const rows = await sessions.listSessions(db, caller, { ...(before && { before }), limit: query.limit })
      return page(request, reply, {
        cursorKey,
        rows,
        present: (row) => schema.presentSession(row, sessionId),
        positionOf: ({ createdAt, id }) => ({ created_at: createdAt.toISOString(), id }),
      })
    },
  })

  app.route({
    method: 'DELETE',
    url: item,
    schema: {
      operationId: 'endSession',
      summary: 'End a session of the console: your own, or with `tokens:write` any that you reach',
      tags,
      params: schema.SessionParams,
      response: { ...noContent, ...problems(400, 401, 403, 404, 413, 415, 500, 503) },
    },
    handler: async (request, reply) => {
      await sessions.endSession(db, request.caller, request.params.session)
      if (request.sessionId === request.params.session) reply.header('set-cookie', cookie.clear)
      reply.code(204)
    },
  })
}

/** A session cannot open another, or it would never end; nor can a user's short-lived token. */
function rejectAllButTokens({ caller, sessionId }: FastifyRequest): void {
  if (!isUser(caller.principal) && sessionId === undefined) return
  throw new AppError('insufficient_scope', 'A session is opened with a token in Authorization.')
}

const Code = Type.Object(
  { code: Type.String({ minLength: 1, maxLength: 200 }) },
  { additionalProperties: false },
)

/**
 * The one-time link that the start prints. Its code is in the fragment of the URL, which no server and no log sees; the
 * page sends it here, so that previews of the link do not use it up.
 */
export const signInLinkRoutes: FastifyPluginAsyncTypebox<SessionDeps> = async (app, deps) => {
  app.post('/sign-in/link', { schema: { hide: true, body: Code } }, async (request, reply) => {
    rejectCrossOrigin(request, deps.issuer)
    const token = await sessions.useSignInLink(deps, new Secret(request.body.code), deps.now())
    if (!token || !isGoodFrom(token, plainAddress(request.ip)))
      throw badCredential('the link was used, or is too old')
    const caller = callerOf(token, request, deps.now())
    const { session, setCookie } = await open(deps, request, caller, { by: 'link' })
    reply.code(201).header('set-cookie', setCookie).header('cache-control', 'no-store')
    return schema.presentSession(session, session.id)
  })
}

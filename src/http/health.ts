import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { pendingMigrations } from '../db/migrate.ts'
import type { Deps } from '../deps.ts'
import { AppError } from '../errors.ts'
import { problems } from './schemas.ts'

const Health = Type.Object({ status: Type.Literal('ok') }, { description: 'It is.' })

export const healthRoutes: FastifyPluginAsyncTypebox<Deps & { draining: AbortSignal }> = async (
  app,
  { db, credentials, draining },
) => {
  app.route({
    method: 'GET',
    url: '/livez',
    schema: {
      operationId: 'live',
      summary: 'Whether the process runs',
      tags: ['Operations'],
      security: [],
      response: { 200: Health, ...problems(400) },
    },
    handler: async () => ({ status: 'ok' as const }),
  })

  app.route({
    method: 'GET',
    url: '/readyz',
    schema: {
      operationId: 'ready',
      summary:
        'Whether it can serve: it is not stopping, and the database answers, is migrated and tells of changes',
      tags: ['Operations'],
      security: [],
      response: { 200: Health, ...problems(400, 503) },
    },
    handler: async () => {
      if (draining.aborted) throw new AppError('unavailable', 'This process is stopping.')
      const pending = await pendingMigrations(db)
      if (pending.length > 0) throw new AppError('unavailable', `The database lacks ${pending.join(', ')}.`)
      const reason = await credentials.unready()
      if (reason !== undefined) throw new AppError('unavailable', reason)
      return { status: 'ok' as const }
    },
  })
}

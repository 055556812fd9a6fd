import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { isUnavailable } from '../db/database.ts'
import { pendingMigrations } from '../db/migrate.ts'
import { poolerInTheWay, refusedByPooler, sessionProblem } from '../db/session.ts'
import { AppError } from '../shared/errors.ts'
import type { Deps } from './deps.ts'
import { problems } from './schemas.ts'

const Health = Type.Object({ status: Type.Literal('ok') }, { description: 'It is.' })

export const healthRoutes: FastifyPluginAsyncTypebox<Deps & { draining: AbortSignal }> = async (
  app,
  { db, credentials, draining, pooled = false },
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
        'Whether the process can serve: it is not stopping, and its database responds, is migrated and delivers notifications',
      tags: ['Operations'],
      security: [],
      response: { 200: Health, ...problems(400, 503) },
    },
    handler: async ({ log }) => {
      if (draining.aborted) throw new AppError('unavailable', 'This process is stopping.')
      const reason = await whyNotReady().catch((error) => {
        log.warn({ err: error }, 'not ready')
        if (refusedByPooler(error)) return poolerInTheWay
        // Includes an error response: requests would fail too, and the cause is not known here.
        return isUnavailable(error) ? 'The database does not respond.' : 'The database rejects a query.'
      })
      if (reason) throw new AppError('unavailable', reason)
      return { status: 'ok' as const }
    },
  })

  async function whyNotReady(): Promise<string | undefined> {
    const pending = await pendingMigrations(db)
    if (pending.length > 0) return `The database lacks the migrations ${pending.join(', ')}.`
    const problem = await sessionProblem(db, pooled)
    if (problem) app.log.warn(problem)
    return problem ?? credentials.unready()
  }
}

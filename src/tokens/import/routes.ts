import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { isUser } from '../../access/caller.ts'
import type { Deps } from '../../http/deps.ts'
import { jsonParser } from '../../http/json.ts'
import { settleLate } from '../../http/problem.ts'
import { OrganizationParams, problems, ref } from '../../http/schemas.ts'
import { allowSlowBody } from '../../http/server.ts'
import { AppError, badCredential } from '../../shared/errors.ts'
import { inBatchesOf, readLines } from '../../shared/lines.ts'
import type { StaticSecret } from '../static-secret/static-secret.ts'
import { type ImportResult, importTokens } from './import.ts'
import * as schema from './schema.ts'

const jsonLines = 'application/x-ndjson'

/** Past a hundred changed secrets in a transaction, every instance drops its whole cache (migrations/0002). */
const mostInBatch = { lines: 100, bytes: 1024 * 1024 }

export const importRoutes: FastifyPluginAsyncTypebox<
  Deps & { staticSecret: StaticSecret | undefined; draining: AbortSignal }
> = async (app, { db, credentials, now, staticSecret, draining }) => {
  for (const shape of schema.components) app.addSchema(shape)
  // Only this media type, and without parsing: the handler reads the body itself.
  const parse = jsonParser(app)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(jsonLines, (_request, _payload, done) => done(null, ''))

  app.route({
    method: 'POST',
    url: '/organizations/:organization/tokens/import',
    config: { forgets: true },
    schema: {
      operationId: 'importTokens',
      summary: 'Import tokens that exist elsewhere, by the hashes of their secrets',
      description:
        'The response has a result for each line, in their order, while the request is still being sent: read it at the ' +
        'same time. Lines are stored in batches of up to 100; a request that breaks off loses none of those whose result ' +
        'arrived, and sending it again is harmless. At most 250,000 lines.',
      tags: ['Tokens'],
      params: OrganizationParams,
      querystring: schema.ImportQuery,
      body: { content: { [jsonLines]: { schema: ref(schema.TokenImport) } } },
      response: {
        200: {
          description: 'A result for each line, and a summary',
          content: { [jsonLines]: { schema: schema.Results } },
        },
        ...problems(400, 401, 403, 404, 409, 415, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, query, raw } = request
      const importBatch = await importTokens(db, caller, {
        organization: params.organization,
        dryRun: query.dry_run,
        staticSecret,
      })
      const release = allowSlowBody(raw.socket)
      reply.raw.once('close', release)

      async function rejectToContinue(): Promise<void> {
        if (draining.aborted)
          throw new AppError('unavailable', 'The service is shutting down. Send the remaining lines again.')
        const { principal } = caller
        if (isUser(principal) || (await credentials.verifyFresh(principal.hash, now()))) return
        throw badCredential()
      }

      async function* results(): AsyncGenerator<ImportResult[]> {
        let lines = 0
        const arriving = readLines(chunksOf(raw), schema.longestLine)
        for await (const batch of inBatchesOf(arriving, mostInBatch)) {
          if (lines > 0) await rejectToContinue()
          lines += batch.length
          if (lines > schema.mostLines)
            throw new AppError(
              'content_too_large',
              `At most ${schema.mostLines} lines are accepted. Send the rest again.`,
            )
          const at = now()
          const { results, created, hasNewPrefixes } = await importBatch(
            batch.map((line) => ({ number: line.number, token: schema.parseLine(line, parse, at) })),
            at,
          )
          for (const hash of created) credentials.forget(hash)
          if (hasNewPrefixes) credentials.forgetPrefixes()
          yield results
        }
      }

      async function* lines(
        first: ImportResult[],
        rest: AsyncGenerator<ImportResult[]>,
      ): AsyncGenerator<string> {
        const counts = { created: 0, exists: 0, invalid: 0 }
        let stopped: AppError | undefined
        let batch: ImportResult[] | undefined = first
        while (batch) {
          for (const { status } of batch) counts[status] += 1
          yield batch.map(schema.presentResult).join('')
          try {
            batch = (await rest.next()).value
          } catch (error) {
            stopped = settleLate(error, request)
            break
          }
        }
        yield schema.presentSummary(counts, query.dry_run, stopped)
      }

      // Reads the first batch before the response begins: errors of the request as a whole get a status of their own.
      const rest = results()
      const { value: first } = await rest.next()
      if (!first) throw emptyBody()
      return reply.type(jsonLines).send(Readable.from(lines(first, rest), { objectMode: false }))
    },
  })
}

/** Reading can end early without an effect on the response: destroying the request would destroy the response too. */
async function* chunksOf(body: Readable): AsyncGenerator<Buffer> {
  try {
    yield* body.iterator({ destroyOnReturn: false })
  } catch (cause) {
    throw new AppError('unavailable', 'The client has disconnected.', { cause })
  }
}

function emptyBody(): AppError {
  const detail = 'must have one token per line'
  return new AppError('invalid_request', `body ${detail}`, { fields: [{ in: 'body', field: '', detail }] })
}

import { Readable } from 'node:stream'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import type { Deps } from '../http/deps.ts'
import { answer, OrganizationParams, problems } from '../http/schemas.ts'
import { AppError } from '../shared/errors.ts'
import { exportProofs, type ProofHead, type ProvenEvent, readLog, readTile } from './log.ts'
import * as schema from './schema.ts'

const log = '/transparency-log'
const tags = ['Change log']
const text = 'text/plain; charset=utf-8'
const jsonLines = 'application/jsonl'

export const transparencyLogRoutes: FastifyPluginAsyncTypebox<Deps> = async (app, { db }) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'GET',
    url: log,
    schema: {
      operationId: 'getTransparencyLog',
      summary: 'Read the last checkpoint of the transparency log, and the key that verifies it',
      tags,
      response: {
        200: answer(schema.TransparencyLog, 'The log'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller }) => schema.presentLog(await readLog(db, caller)),
  })

  app.route({
    method: 'GET',
    url: `${log}/checkpoint`,
    schema: {
      operationId: 'getCheckpoint',
      summary: 'Read the last checkpoint of the transparency log, as a signed note',
      description:
        'The hashes of the tree are at `/v1/transparency-log/tile/` in the layout of C2SP tlog-tiles; ' +
        'entries are in the exports of organizations.',
      tags,
      response: {
        200: {
          description: 'The checkpoint (C2SP tlog-checkpoint)',
          content: { 'text/plain': { schema: Type.Unsafe<string>({ type: 'string' }) } },
        },
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller }, reply) => {
      const { checkpoint } = await readLog(db, caller)
      return reply.type(text).send(checkpoint)
    },
  })

  app.route<{ Params: { '*': string } }>({
    method: 'GET',
    url: `${log}/tile/*`,
    // OpenAPI cannot describe a parameter that contains slashes.
    schema: { hide: true },
    handler: async ({ caller, params }, reply) => {
      const tile = schema.parseTile(params['*'])
      if (!tile) throw new AppError('not_found', 'A tile is named <level>/<index>, as in C2SP tlog-tiles.')
      const hashes = await readTile(db, caller, tile)
      return reply.type('application/octet-stream').send(Buffer.concat(hashes))
    },
  })

  app.route({
    method: 'GET',
    url: '/organizations/:organization/audit-events/proofs',
    schema: {
      operationId: 'exportAuditProofs',
      summary: 'Download the change log with proofs that it is in the transparency log, as JSON Lines',
      description:
        'The first line is a `ProofHead`, the others are `ProvenEvent`s, newest first. Events of the last seconds, ' +
        'which no checkpoint has yet, are left out. `counterfoil verify-log` verifies the file.',
      tags,
      params: OrganizationParams,
      querystring: schema.ProofQuery,
      response: {
        200: {
          description: 'The proofs and events, one per line',
          content: {
            [jsonLines]: {
              schema: Type.Unsafe<string | Readable>({
                type: 'string',
                description: 'A `ProofLine` a line.',
              }),
            },
          },
        },
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params, query, method }, reply) => {
      const { head, batches } = await exportProofs(db, caller, params.organization, query.since)
      const lines = method === 'HEAD' ? [] : linesOf(head, batches)
      return reply.type(jsonLines).send(Readable.from(lines, { objectMode: false }))
    },
  })
}

async function* linesOf(head: ProofHead, batches: AsyncIterable<ProvenEvent[]>): AsyncIterable<string> {
  yield `${JSON.stringify(head)}\n`
  for await (const batch of batches) yield batch.map((line) => `${JSON.stringify(line)}\n`).join('')
}

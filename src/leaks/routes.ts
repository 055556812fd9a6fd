import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Actor } from '../access/caller.ts'
import type { Deps } from '../http/deps.ts'
import { addJsonParser } from '../http/json.ts'
import { page, positionIn } from '../http/pages.ts'
import { answer, Id, OrganizationParams, problems, ref } from '../http/schemas.ts'
import type { Signing } from '../keys/signing.ts'
import { plainAddress } from '../shared/addresses.ts'
import { AppError } from '../shared/errors.ts'
import { createGithubKeys, isSignedBy } from './github.ts'
import { getLeak, listLeaks, reportLeak, reportLeaks } from './leaks.ts'
import * as schema from './schema.ts'

type Options = Deps & { signing: Signing; githubKeysUrl?: string | undefined }

const tags = ['Leaks']
const collection = '/organizations/:organization/leaks'

export const leakRoutes: FastifyPluginAsyncTypebox<Options> = async (
  app,
  { db, credentials, cursorKey, issuer, signing },
) => {
  for (const shape of schema.components) app.addSchema(shape)

  app.route({
    method: 'POST',
    url: '/leaks',
    config: { secretMember: 'secret' },
    schema: {
      operationId: 'reportLeak',
      summary: 'Report a leaked secret',
      description:
        'For scanners. The policy `on_leak` of the organization of the token decides what happens. Reporting the same ' +
        'secret again is harmless. Secrets of deleted tokens, and superseded ones, are recognized for as long as they ' +
        'are kept.',
      tags,
      body: ref(schema.NewLeak),
      response: {
        200: answer(schema.ReportedLeak, 'Whether the secret is known, and the report'),
        ...problems(400, 401, 403, 413, 415, 500, 503),
      },
    },
    handler: async ({ caller, body }) => {
      const reported = await reportLeak(db, caller, schema.parseLeak(body), { issuer, signing })
      if (reported) credentials.forget(reported.affected)
      return {
        known: reported !== undefined,
        report: reported ? schema.presentReport(reported.report) : null,
      }
    },
  })

  app.route({
    method: 'GET',
    url: collection,
    schema: {
      operationId: 'listLeaks',
      summary: 'List leak reports, newest first',
      tags,
      params: OrganizationParams,
      querystring: schema.LeakQuery,
      response: {
        200: answer(schema.LeakReportPage, 'A page of leak reports', 'Link'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async (request, reply) => {
      const { caller, params, query } = request
      const before = positionIn(Id, request, cursorKey)
      const { token, limit } = query
      const rows = await listLeaks(db, caller, params.organization, { token, before, limit })
      const present = schema.presentReport
      return page(request, reply, { cursorKey, rows, present, positionOf: ({ id }) => id })
    },
  })

  app.route({
    method: 'GET',
    url: `${collection}/:leak`,
    schema: {
      operationId: 'getLeak',
      summary: 'Read a leak report',
      tags,
      params: schema.LeakParams,
      response: {
        200: answer(schema.LeakReport, 'The report'),
        ...problems(400, 401, 403, 404, 500, 503),
      },
    },
    handler: async ({ caller, params }) =>
      schema.presentReport(await getLeak(db, caller, params.organization, params.leak)),
  })
}

/** A thousand matches with their URLs. */
const bodyLimit = 2 * 1024 * 1024
const github: Actor = { type: 'system', id: 'github', name: 'GitHub secret scanning' }

/** Where GitHub reports what it found in public repositories and packages. Its signature is the credential. */
export const githubLeakRoutes: FastifyPluginAsyncTypebox<Options> = async (
  app,
  { db, credentials, issuer, signing, now, outbound, githubKeysUrl },
) => {
  for (const shape of schema.githubComponents) app.addSchema(shape)
  const keyOf = createGithubKeys({
    fetchJson: outbound.fetchJson,
    now,
    ...(githubKeysUrl !== undefined && { url: githubKeysUrl }),
  })

  async function checkSignature({ headers }: FastifyRequest, text: string): Promise<void> {
    const identifier = header(headers, 'github-public-key-identifier')
    const signature = header(headers, 'github-public-key-signature')
    const key = await keyOf(identifier)
    if (!key)
      throw invalidHeader('github-public-key-identifier', 'is not one of the keys that GitHub publishes')
    if (!isSignedBy(key, Buffer.from(text), signature))
      throw invalidHeader('github-public-key-signature', 'does not fit the body')
  }

  app.removeAllContentTypeParsers()
  addJsonParser(app, { check: checkSignature })

  app.route({
    method: 'POST',
    url: '/leaks/github',
    bodyLimit,
    schema: {
      operationId: 'reportGithubLeaks',
      summary: "Receive alerts of GitHub's secret scanning partner program",
      description:
        'Signed by GitHub; the keys are fetched from its API. All matches are looked up in one statement. The body may ' +
        'have up to 2 MiB.',
      tags,
      security: [],
      headers: schema.GithubHeaders,
      body: ref(schema.GithubMatches),
      response: {
        200: answer(schema.GithubLabels, 'Whether each match is a secret that was issued here'),
        ...problems(400, 413, 415, 500, 503),
      },
    },
    handler: async ({ id: requestId, ip, body }) => {
      const leaks = body.map(schema.parseMatch)
      const origin = { actor: github, requestId, ip: plainAddress(ip), now: now() }
      const reported = await reportLeaks(db, origin, leaks, { issuer, signing })
      for (const one of reported) if (one) credentials.forget(one.affected)
      await credentials.settled()
      return body.map(({ type }, at) => ({
        token_hash: leaks[at]?.hash.toString('hex') ?? '',
        token_type: type,
        label: reported[at] ? ('true_positive' as const) : ('false_positive' as const),
      }))
    },
  })
}

function header(headers: FastifyRequest['headers'], name: string): string {
  const value = headers[name]
  if (typeof value === 'string' && value !== '') return value
  throw invalidHeader(name, 'is required')
}

function invalidHeader(field: string, detail: string): AppError {
  return new AppError('invalid_request', `${field} ${detail}`, { fields: [{ in: 'header', field, detail }] })
}

import type { FastifyPluginAsync } from 'fastify'
import { matchesEtag } from '../http/etag.ts'
import type { SessionCookie } from '../sessions/cookie.ts'
import { AppError } from '../shared/errors.ts'
import { loadAssets, type Page, pageOf } from './assets.ts'

const schema = { hide: true }
const forGood = 'public, max-age=31536000, immutable'

/** Serves the console: one page for the URLs of all screens, and its files. */
export const consoleRoutes: FastifyPluginAsync<{ cookie: SessionCookie }> = async (app, { cookie }) => {
  let pages: { signedIn: Page; signedOut: Page } | undefined

  app.get('/', { schema }, async (_request, reply) => reply.redirect('console/', 303))

  for (const url of ['/console', '/console/*'])
    app.get(url, { schema, config: { quiet: true } }, async (request, reply) => {
      const assets = await loadAssets()
      pages ??= {
        signedIn: pageOf(assets, app.basePath, true),
        signedOut: pageOf(assets, app.basePath, false),
      }
      const { html, etag, policy } = pages[cookie.read(request.headers.cookie) ? 'signedIn' : 'signedOut']
      reply.headers({ etag, 'cache-control': 'no-cache', 'content-security-policy': policy, vary: 'cookie' })
      if (matchesEtag(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return reply.type('text/html; charset=utf-8').send(html)
    })

  app.get<{ Params: { version: string; '*': string } }>(
    '/console/assets/:version/*',
    { schema, config: { quiet: true } },
    async ({ params, headers }, reply) => {
      const { version, files } = await loadAssets()
      const asset = files.get(params['*'])
      // A page of another version must be reloaded, because the files of two versions do not work together.
      if (!asset || params.version !== version) throw new AppError('not_found', 'There is no such file.')
      const coding = codingFor(headers['accept-encoding'])
      const etag = `"${version}-${coding}"`
      reply.headers({ etag, vary: 'accept-encoding', 'cache-control': forGood })
      if (matchesEtag(headers['if-none-match'], etag)) return reply.code(304).send()
      if (coding !== 'identity') reply.header('content-encoding', coding)
      return reply.type(asset.type).send(asset[coding])
    },
  )
}

/** A quality of 0 means "not acceptable" (RFC 9110 §12.5.3); other qualities do not matter here. */
function codingFor(accepted = ''): 'br' | 'gzip' | 'identity' {
  const codings = accepted
    .split(',')
    .map((one) => one.trim().toLowerCase())
    .filter((one) => !/;\s*q=0(\.0*)?$/.test(one))
    .map((one) => one.split(';')[0]?.trim())
  if (codings.includes('br')) return 'br'
  return codings.includes('gzip') ? 'gzip' : 'identity'
}

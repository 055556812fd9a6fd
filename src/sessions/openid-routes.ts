import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { callerOf } from '../http/caller.ts'
import type { Deps } from '../http/deps.ts'
import { rejectCrossOrigin } from '../http/same-origin.ts'
import { Id } from '../http/schemas.ts'
import { consoleIssuers, hasOrganizationIssuers } from '../issuers/console.ts'
import { redirectUriOf } from '../issuers/registration.ts'
import { isOfPlatform } from '../issuers/user.ts'
import { plainAddress } from '../shared/addresses.ts'
import { invalidValue } from '../shared/errors.ts'
import { type SessionCookie, signInCookie } from './cookie.ts'
import { createOpenid, type OpenidDeps } from './openid.ts'
import { SignInError } from './provider.ts'
import { open } from './routes.ts'
import { signOut } from './sessions.ts'

/** The place is kept in a cookie, and browsers reject cookies of more than 4096 bytes. */
const longestPlace = 2000

const closed = { additionalProperties: false }
const Organization = Type.Optional(Type.String({ maxLength: 64 }))
const ListQuery = Type.Object({ organization: Organization }, closed)
const Start = Type.Object(
  { issuer: Id, organization: Organization, return_to: Type.String({ maxLength: longestPlace }) },
  closed,
)
const ReturnParams = Type.Object({ issuer: Id })

/** Sign-in at an OpenID provider and sign-out, for the pages of the console only. */
export const openidRoutes: FastifyPluginAsyncTypebox<Deps & OpenidDeps & { cookie: SessionCookie }> = async (
  app,
  deps,
) => {
  const { db, cookie, now, issuer: publicUrl } = deps
  const openid = createOpenid(deps)
  const pendingCookie = signInCookie(publicUrl)
  const originOf = ({ id: requestId, ip }: FastifyRequest) => ({
    requestId,
    ip: plainAddress(ip),
    now: now(),
  })
  app.addHook('onSend', async (_request, reply) => void reply.header('cache-control', 'no-store'))

  app.get(
    '/sign-in/issuers',
    { schema: { hide: true, querystring: ListQuery } },
    async ({ query: { organization } }) => ({
      items: (await consoleIssuers(db, organization)).map((issuer) => ({
        id: issuer.id,
        name: issuer.name,
        of_platform: isOfPlatform(issuer),
      })),
      by_organization: await hasOrganizationIssuers(db),
    }),
  )

  app.post('/sign-in/openid', { schema: { hide: true, body: Start } }, async (request, reply) => {
    rejectCrossOrigin(request, publicUrl)
    const { issuer, organization, return_to: place } = request.body
    pathOf(place, publicUrl)
    const { pending, location } = await openid.start({ issuer, organization, place })
    reply.header('set-cookie', pendingCookie.set(pending))
    return { location }
  })

  app.get(
    '/sign-in/callback/:issuer',
    { schema: { hide: true, params: ReturnParams } },
    async (request, reply) => {
      const { issuer } = request.params
      const { search } = new URL(request.url, publicUrl)
      try {
        const { user, place, ...signedIn } = await openid.finish(
          {
            issuer,
            pending: pendingCookie.read(request.headers.cookie),
            url: new URL(`${redirectUriOf(publicUrl, issuer)}${search}`),
          },
          originOf(request),
        )
        const returnTo = pathOf(place, publicUrl)
        const caller = callerOf(user, request, now())
        const { setCookie } = await open(deps, request, caller, { by: 'openid', user: signedIn })
        return reply.header('set-cookie', [setCookie, pendingCookie.clear]).redirect(returnTo, 303)
      } catch (error) {
        if (!(error instanceof SignInError)) throw error
        const { failure, message: reason } = error
        request.log.warn({ reqId: request.id, issuer, failure, reason }, 'sign-in failed')
        // If it was another sign-in, the one that this browser has started continues.
        if (failure !== 'expired') reply.header('set-cookie', pendingCookie.clear)
        return reply.redirect(`${app.basePath}/console/sign-in?error=${failure}`, 303)
      }
    },
  )

  app.post('/sign-out', { schema: { hide: true } }, async (request, reply) => {
    rejectCrossOrigin(request, publicUrl)
    const secret = cookie.read(request.headers.cookie)
    const ended = secret && (await signOut(db, secret, originOf(request)))
    reply.header('set-cookie', cookie.clear)
    const location = ended && (await openid.endSessionUrl(ended, secret).catch(() => null))
    return { location: location ?? null }
  })
}

/** Returns the place as a path of this origin. With any contents, it stays below `/console/`. */
function pathOf(place: string, publicUrl: string): string {
  const root = new URL(`${publicUrl}/console/`)
  const text = `${root.href.slice(0, -1)}${place}`
  const url = place.startsWith('/') && URL.canParse(text) ? new URL(text) : undefined
  if (url?.origin !== root.origin || !url.pathname.startsWith(root.pathname))
    throw invalidValue('return_to', 'is not a path of the console')
  if (Buffer.byteLength(place) > longestPlace)
    throw invalidValue('return_to', `is longer than ${longestPlace} bytes`)
  return `${url.pathname}${url.search}`
}

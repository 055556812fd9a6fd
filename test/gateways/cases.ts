import type { Test } from 'tap'
import type { Site } from '../support/gateway.ts'
import { day } from '../support/world.ts'

/** What differs between gateways. */
export type Ways = {
  /** The status for a token that lacks a scope. */
  tooNarrow: number
  /** The header fields with the caller's identity for the service. */
  fields: string[]
  /** Whether it forwards the address from which a token was presented. */
  tellsAddress: boolean
}

const bearer = (secret: string) => ['Authorization', `Bearer ${secret}`]
const names = ['Id', 'Subject', 'Organization', 'Scope', 'Type', 'Name', 'Expires-At']
const forged = names.flatMap((name) => [`X-Token-${name}`, 'forged'])

/** For gateways that forward all identity fields. */
export const identityFields = names.map((name) => `x-token-${name.toLowerCase()}`)

/** What must hold behind every gateway that is configured as its page says. */
export async function behavesLikeAGateway(t: Test, site: Site, ways: Ways): Promise<void> {
  const { world, send } = site
  const scopes = ['orders:read', 'orders:write']
  const owner = { subject: 'u-4711' }
  const good = await world.issue({ name: 'Orders', scopes, owner })

  t.test('a request with a good token passes, and the service learns whose it is', async (t) => {
    const { status, seen } = await send(bearer(good.secret))
    t.equal(status, 200)
    t.match(seen, { method: 'GET', url: '/orders/7?page=2' })
    const identity = {
      'x-token-id': good.id,
      'x-token-subject': 'u-4711',
      'x-token-organization': 'default',
      'x-token-scope': 'orders:read orders:write',
      'x-token-type': 'api',
      'x-token-name': 'Orders',
      'x-token-expires-at': good.expires_at ?? 'never',
    }
    for (const [name, value] of Object.entries(identity))
      if (ways.fields.includes(name)) t.equal(seen?.headers[name], value, name)
    t.equal(seen?.headers.authorization, undefined, 'and does not get the token itself')
  })

  t.test('identity header fields from the client are overwritten', async (t) => {
    const plain = await world.issue({ scopes: ['orders:read'] })
    for (const headers of [
      [...forged, ...bearer(plain.secret)],
      [...bearer(plain.secret), ...forged, ...forged],
    ]) {
      const { seen } = await send(headers)
      t.equal(seen?.headers['x-token-id'], plain.id)
      for (const name of ways.fields) t.notMatch(seen?.headers[name], /forged/, name)
    }
  })

  t.test('a missing or bad token is a 401 with a challenge', async (t) => {
    const expired = await world.issue({ scopes, lifetime_days: 1 })
    const revoked = await world.issue({ scopes })
    t.equal((await send(bearer(revoked.secret))).status, 200)
    await world.ask('POST', `/v1/organizations/default/tokens/${revoked.id}/revoke`)
    world.clock.advance(2 * day)
    for (const [name, headers] of Object.entries({
      missing: [],
      garbage: bearer('garbage'),
      'with a typo': bearer(`${good.secret.slice(0, -1)}-`),
      expired: bearer(expired.secret),
      revoked: bearer(revoked.secret),
      'in the wrong scheme': ['Authorization', `Token ${good.secret}`],
    })) {
      const { status, headers: told } = await send(headers)
      t.equal(status, 401, name)
      t.match(told['www-authenticate'], /^(Bearer|Basic)/, name)
    }
  })

  t.test('a token that lacks a scope is rejected', async (t) => {
    const narrow = await world.issue({ scopes: ['orders:write'] })
    const { status, headers } = await send(bearer(narrow.secret))
    t.equal(status, ways.tooNarrow)
    t.match(headers['www-authenticate'], /^Bearer .*error="insufficient_scope"/)
    t.equal((await send(bearer((await world.issue({ scopes: [] })).secret))).status, ways.tooNarrow)
  })

  t.test('a token is also accepted as a password', async (t) => {
    const basic = (user: string) => `Basic ${Buffer.from(`${user}:${good.secret}`).toString('base64')}`
    for (const user of ['anybody', 'x']) {
      const { status, seen } = await send(['Authorization', basic(user)])
      t.equal(status, 200)
      t.equal(seen?.headers['x-token-id'], good.id)
    }
  })

  t.test('methods and bodies reach the service, request after request', async (t) => {
    for (const method of ['POST', 'PUT', 'DELETE', 'GET']) {
      const body = method === 'GET' ? '' : `{"quantity": ${method.length}}`
      const { status, seen } = await send(bearer(good.secret), { method, body })
      t.equal(status, 200)
      t.match(seen, { method, body })
      t.equal((await send(bearer('garbage'), { method, body })).status, 401)
    }
  })

  t.test('two tokens, or an additional one in the URL, are rejected', async (t) => {
    const twice = await send([...bearer(good.secret), ...bearer('garbage')])
    t.not(twice.status, 200)
    const other = await send([...bearer('garbage'), ...bearer(good.secret)])
    t.not(other.status, 200)
    const inUrl = await send([], { path: `/orders/7?access_token=${good.secret}` })
    t.equal(inUrl.status, 401, 'alone it is not read')
  })

  t.test(
    'a token with networks is accepted only from them, and clients cannot forge their address',
    async (t) => {
      const here = await world.issue({ scopes, allowed_cidrs: ['127.0.0.0/8'] })
      const elsewhere = await world.issue({ scopes, allowed_cidrs: ['192.0.2.0/24'] })
      t.equal((await send(bearer(here.secret))).status, ways.tellsAddress ? 200 : 401)
      t.equal((await send(bearer(elsewhere.secret))).status, 401)
      const claimed = ['X-Forwarded-For', '192.0.2.1']
      t.equal((await send([...claimed, ...bearer(elsewhere.secret)])).status, 401)
    },
  )

  t.test('the gateway’s header fields are ignored if a client sends them', async (t) => {
    const claimed = ['X-Counterfoil-Gateway', world.admin, 'X-Counterfoil-Require', '']
    t.equal((await send([...claimed, ...bearer(good.secret)])).status, 200)
    t.equal((await send([...claimed, ...bearer('garbage')])).status, 401)
  })
}

/** Call it last: it stops Counterfoil. */
export async function closesWithCounterfoil(t: Test, { world, send }: Site, status: number): Promise<void> {
  const { secret } = await world.issue({ scopes: ['orders:read'] })
  t.equal((await send(bearer(secret))).status, 200)
  await world.app.close()
  t.equal((await send(bearer(secret))).status, status)
}

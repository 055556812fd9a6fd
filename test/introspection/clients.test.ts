// Clients that we did not write, used as their documentation says.
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const base = await world.app.listen({ host: '127.0.0.1', port: 0 })
const server = await world.issue({
  name: 'Resource server',
  type: 'management',
  scopes: ['tokens:introspect', 'tokens:write'],
})
const metadata = {
  issuer: base,
  introspection_endpoint: `${base}/introspect`,
  revocation_endpoint: `${base}/revoke`,
}

t.test('oauth4webapi introspects and revokes', async (t) => {
  const { secret } = await world.issue({ scopes: ['read'] })
  const client: oauth.Client = { client_id: server.id }
  const authentication = oauth.ClientSecretBasic(server.secret)
  const options = { [oauth.allowInsecureRequests]: true }
  const introspect = async () => {
    const response = await oauth.introspectionRequest(metadata, client, authentication, secret, options)
    return oauth.processIntrospectionResponse(metadata, client, response)
  }
  t.match(await introspect(), { active: true, scope: 'read' })
  const revocation = await oauth.revocationRequest(metadata, client, authentication, secret, options)
  await oauth.processRevocationResponse(revocation)
  t.same(await introspect(), { active: false })
})

t.test('oauth4webapi is told by a challenge that its secret is wrong', async (t) => {
  const client: oauth.Client = { client_id: server.id }
  const wrong = oauth.ClientSecretBasic('cfm_wrong')
  const options = { [oauth.allowInsecureRequests]: true }
  const response = await oauth.introspectionRequest(metadata, client, wrong, 'x', options)
  await t.rejects(
    oauth.processIntrospectionResponse(metadata, client, response),
    oauth.WWWAuthenticateChallengeError,
  )
})

t.test('openid-client introspects and revokes', async (t) => {
  const { secret } = await world.issue({ scopes: ['read'] })
  const authentication = openid.ClientSecretBasic(server.secret)
  const config = new openid.Configuration(metadata, server.id, undefined, authentication)
  openid.allowInsecureRequests(config)
  t.match(await openid.tokenIntrospection(config, secret), { active: true, scope: 'read' })
  await openid.tokenRevocation(config, secret)
  t.same(await openid.tokenIntrospection(config, secret), { active: false })
})

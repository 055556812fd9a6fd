// Third-party clients, used as their documentation says.
import * as oauth from 'oauth4webapi'
import * as openid from 'openid-client'
import t from 'tap'
import { makeClient } from '../support/client.ts'
import { createWorld, issuer } from '../support/world.ts'

const world = await createWorld(t)
// These clients use the real clock.
world.clock.now = new Date()
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

// RFC 8414 §3.3: the audience of an assertion is the issuer, wherever the endpoints are.
const jwtMetadata = { ...metadata, issuer }

for (const alg of ['Ed25519', 'ES256', 'RS256', 'PS256']) {
  t.test(`oauth4webapi introspects and revokes by private_key_jwt (${alg})`, async (t) => {
    const { id, privateKey } = await makeClient(world, { alg })
    const { secret } = await world.issue({ scopes: ['read'] })
    const client: oauth.Client = { client_id: id }
    const authentication = oauth.PrivateKeyJwt({ key: privateKey, kid: 'one' })
    const options = { [oauth.allowInsecureRequests]: true }
    const introspect = async () => {
      const response = await oauth.introspectionRequest(jwtMetadata, client, authentication, secret, options)
      return oauth.processIntrospectionResponse(jwtMetadata, client, response)
    }
    t.match(await introspect(), { active: true, scope: 'read' })
    const revocation = await oauth.revocationRequest(jwtMetadata, client, authentication, secret, options)
    await oauth.processRevocationResponse(revocation)
    t.same(await introspect(), { active: false })
  })
}

t.test('openid-client introspects and revokes by private_key_jwt', async (t) => {
  const { id, privateKey } = await makeClient(world)
  const { secret } = await world.issue({ scopes: ['read'] })
  const config = new openid.Configuration(jwtMetadata, id, undefined, openid.PrivateKeyJwt(privateKey))
  openid.allowInsecureRequests(config)
  t.match(await openid.tokenIntrospection(config, secret), { active: true, scope: 'read' })
  await openid.tokenRevocation(config, secret)
  t.same(await openid.tokenIntrospection(config, secret), { active: false })
})

t.test('oauth4webapi is told that its key is not the one that was registered', async (t) => {
  const { id } = await makeClient(world)
  const { privateKey } = await makeClient(world)
  const client: oauth.Client = { client_id: id }
  const options = { [oauth.allowInsecureRequests]: true }
  const wrong = oauth.PrivateKeyJwt(privateKey)
  const response = await oauth.introspectionRequest(jwtMetadata, client, wrong, 'x', options)
  await t.rejects(
    oauth.processIntrospectionResponse(jwtMetadata, client, response),
    oauth.WWWAuthenticateChallengeError,
  )
})

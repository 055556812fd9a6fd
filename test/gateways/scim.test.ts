import t from 'tap'
import { Secret } from '../../src/shared/secret.ts'
import { createSite, isInstalled } from '../support/gateway.ts'
import { recordSecret } from '../support/records.ts'
import { startNginx } from './nginx.ts'
import { scimService } from './scim-service.ts'

const fixed = 'the-secret-of-the-installation-0123456789'
recordSecret(fixed)

if (isInstalled('nginx', '-v')) {
  const staticSecret = { secret: new Secret(fixed), organization: 'default' }
  const site = await createSite(t, { staticSecret }, scimService())
  const { world, port } = site
  // The SCIM route is like the page's example, but requires the token type instead of a scope.
  const shown = await site.render('nginx/counterfoil.conf')
  await startNginx(site, shown.replaceAll('/orders/', '/scim/v2/').replace('scope=orders:read', 'type=scim'))
  await world.ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })

  const scim = async (token: string, userName?: string) => {
    const response = await fetch(`http://127.0.0.1:${port}/scim/v2/Users`, {
      headers: { authorization: `Bearer ${token}` },
      ...(userName !== undefined && { method: 'POST', body: JSON.stringify({ userName }) }),
    })
    const isScim = response.headers.get('content-type') === 'application/scim+json'
    return { status: response.status, body: isScim ? ((await response.json()) as any) : undefined }
  }

  t.test(
    'RFC 7644 §3.3: a connector with a SCIM token provisions the users of its organization',
    async (t) => {
      const connector = await world.issue({ name: 'Okta SCIM connector', type: 'scim' })
      const other = await world.issue({ type: 'scim' }, 'other')
      const made = await scim(connector.secret, 'ada')
      t.match(made, { status: 201, body: { id: 'default-0', userName: 'ada' } })
      t.match(await scim(connector.secret), { status: 200, body: { totalResults: 1 } })
      t.match(await scim(other.secret), { status: 200, body: { totalResults: 0 } }, 'and sees no others')
      await world.ask('POST', `/v1/organizations/default/tokens/${connector.id}/revoke`)
      t.equal((await scim(connector.secret, 'eve')).status, 401)
    },
  )

  t.test('AUTH_SECRET is accepted like a SCIM token', async (t) => {
    t.match(await scim(fixed), { status: 200, body: { Resources: [{ userName: 'ada' }] } })
  })

  t.test('a token of another type is rejected', async (t) => {
    const { secret } = await world.issue({ type: 'api' })
    t.equal((await scim(secret, 'eve')).status, 401)
  })
} else {
  t.test('nginx is not installed', { skip: 'apt-get install nginx-light' }, async () => {})
}

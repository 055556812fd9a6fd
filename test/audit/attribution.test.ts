import t from 'tap'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const { ask, issue, clock } = world
const tokens = '/v1/organizations/default/tokens'
const log = async (query = '') =>
  (await ask('GET', `/v1/organizations/default/audit-events${query}`)).body.items

t.test(
  'a token that a backend creates for a user is attributed to the backend, on behalf of the user',
  async (t) => {
    const backend = await issue({ name: 'Backend', type: 'management', scopes: ['tokens:write'] })
    const { body } = await ask('POST', tokens, {
      token: backend.secret,
      body: { name: 'For a user', type: 'api', owner: { subject: 'u-1', identity_source: 'sso' } },
    })
    t.match(await log(`?target=${body.id}`), [
      {
        action: 'token.created',
        actor: { type: 'token', id: backend.id, name: 'Backend' },
        on_behalf_of: 'u-1',
      },
    ])
  },
)

t.test(
  'every change that an administrator makes to a token of a user is on behalf of that user',
  async (t) => {
    const admin = await issue({ name: 'Admin', type: 'management', scopes: ['tokens:write'] })
    const owned = (name: string) => issue({ name, owner: { subject: 'u-9' } })
    const tokenOf = { token: admin.secret }
    const ways: Record<string, (token: { id: string; secret: string }) => Promise<unknown>> = {
      'token.updated': ({ id }) => ask('PATCH', `${tokens}/${id}`, { ...tokenOf, body: { comment: 'Seen' } }),
      'token.revoked': ({ id }) => ask('POST', `${tokens}/${id}/revoke`, tokenOf),
      'token.revoked by secret': ({ secret }) =>
        ask('POST', '/revoke', { ...tokenOf, form: { token: secret } }),
      'token.revoked with all of the owner': () =>
        ask('POST', '/v1/organizations/default/owners/u-9/revoke-tokens', tokenOf),
      'token.deleted': ({ id }) => ask('DELETE', `${tokens}/${id}`, tokenOf),
    }
    for (const [way, change] of Object.entries(ways)) {
      const token = await owned(way)
      await change(token)
      const [event] = await log(`?target=${token.id}`)
      t.match(event, { action: way.split(' ')[0], actor: { id: admin.id }, on_behalf_of: 'u-9' }, way)
    }
    const itself = await owned('Ends itself')
    await ask('POST', '/v1/self/revoke', { token: itself.secret })
    t.match(await log(`?target=${itself.id}`), [{ action: 'token.revoked', on_behalf_of: null }, {}])
  },
)

t.test('changes that users and services make for themselves have no on_behalf_of', async (t) => {
  const own = await issue({
    name: 'My own',
    type: 'management',
    scopes: ['tokens:own'],
    owner: { subject: 'u-2' },
  })
  const { body } = await ask('POST', tokens, { token: own.secret, body: { name: 'Mine', type: 'api' } })
  t.equal(body.owner.subject, 'u-2')
  const service = await issue({ name: 'Of a service' })
  for (const id of [body.id, service.id]) t.match(await log(`?target=${id}`), [{ on_behalf_of: null }])
})

t.test('the grants of a token remain readable after its deletion', async (t) => {
  const expiresAt = new Date(clock.now.getTime() + 30 * day).toISOString()
  const { id } = await issue({
    name: 'Granted',
    scopes: ['read'],
    audience: ['https://host.example'],
    owner: { subject: 'u-3' },
    expires_at: expiresAt,
  })
  await ask('DELETE', `${tokens}/${id}`)
  const created = (await log(`?target=${id}&action=token.created`))[0]
  t.same(created.changes, {
    before: {},
    after: {
      type: 'api',
      owner: 'u-3',
      scopes: ['read'],
      audience: ['https://host.example'],
      not_before: null,
      expires_at: expiresAt,
    },
  })
})

// Follows the reference "scoped tokens of a platform" from top to bottom.
import t from 'tap'
import { startProduct } from '../support/product.ts'

const product = await startProduct(t, 'scoped-platform', 'tenant-7')
const { create, list, introspect, verify, http, tokens, clock, inDays, organization } = product
const day = 24 * 60 * 60 * 1000
const type = 'user-management'
const ada = { subject: 'ada', email: 'ada@example.com', identity_source: 'internal' }
const valid = { name: 'User sync', type, owner: ada, scopes: ['um:read'] }
const audit = (query: string) => http('GET', `${organization}/audit-events${query}`, { token: product.admin })

t.test('a token is scoped, and tied to a user and a tenant', async (t) => {
  const { body } = await create({ ...valid, scopes: ['um:read', 'um:write'] })
  t.match(await introspect(body.secret), {
    active: true,
    scope: 'um:read um:write',
    sub: 'ada',
    username: 'ada@example.com',
    organization: 'tenant-7',
  })
  t.equal((await http('DELETE', `${tokens}/${body.id}`)).status, 204)
})

t.test('at the most 25 at a time, exactly, however many are asked for at once', async (t) => {
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, i) => create({ ...valid, name: `Token number ${i}`, lifetime_days: 30 })),
  )
  t.equal(answers.filter(({ status }) => status === 201).length, 25)
  const refused = answers.filter(({ status }) => status !== 201)
  t.equal(refused.length, 25)
  for (const answer of refused)
    t.match(answer, { status: 409, body: { code: 'limit_reached', detail: /25 of 25/ } })
  const { body } = await http('GET', `${tokens}/options?owner=ada`)
  t.same(body.limits.owner, { limit: 25, active: 25, left: 0 })
  t.match(body.creation, { allowed: false, code: 'limit_reached' })
  t.equal(
    (await create({ ...valid, owner: { ...ada, subject: 'bob' } })).status,
    201,
    'others have their own 25',
  )
})

t.test('tokens that can no longer be used take no place', async (t) => {
  const [one] = await list('?owner=ada&status=active')
  t.equal((await http('POST', `${tokens}/${one.id}/revoke`)).status, 200)
  t.equal((await create(valid)).status, 201)
  t.equal((await create(valid)).status, 409)
  clock.advance(30 * day)
  const { body } = await http('GET', `${tokens}/options?owner=ada`)
  t.same(body.limits.owner, { limit: 25, active: 1, left: 24 })
})

t.test('a new token works at once, not after up to a minute', async (t) => {
  const { body } = await create({ ...valid, name: 'Right away' })
  t.equal((await introspect(body.secret)).active, true)
})

t.test('a name has at least 8 characters', async (t) => {
  const short = await create({ ...valid, name: '7 chars' })
  t.match(short, { status: 422, body: { errors: [{ in: 'body', field: 'name' }] } })
  t.equal((await create({ ...valid, name: '8 chars!' })).status, 201)
})

t.test('an expiration date is optional', async (t) => {
  const without = await create({ ...valid, name: 'Without date' })
  t.match(without.body, { expires_at: null, expiry: { state: 'never' } })
  const until = inDays(100)
  const dated = await create({ ...valid, name: 'With a date', expires_at: until })
  t.equal(dated.body.expires_at, until)
})

t.test('at least one scope is needed, out of read, write and bulk', async (t) => {
  const refusal = { status: 422, body: { errors: [{ field: 'scopes' }] } }
  const { scopes: _, ...unscoped } = valid
  t.match(await create(unscoped), refusal)
  t.match(await create({ ...valid, scopes: [] }), refusal)
  t.match(await create({ ...valid, scopes: ['um:read', 'um:admin'] }), refusal)
  const { body } = await http('GET', `${tokens}/options`)
  t.match(body.types, [
    {
      name: type,
      allowed_scopes: ['um:read', 'um:write', 'um:bulk'],
      scopes_required: true,
      scope_details: [
        { scope: 'um:read', label: 'Read', description: 'Read-only access to User Management endpoints.' },
        { scope: 'um:write', label: 'Write', description: 'Write access to User Management endpoints.' },
        {
          scope: 'um:bulk',
          label: 'Read and write',
          description: 'Access to User Management bulk operations.',
        },
      ],
    },
  ])
  for (const scopes of [['um:read'], ['um:write'], ['um:bulk'], ['um:read', 'um:write', 'um:bulk']]) {
    const made = await create({ ...valid, name: `Scopes ${scopes}`, scopes })
    t.equal((await introspect(made.body.secret)).scope, scopes.join(' '))
  }
})

t.test(
  'a request to an endpoint that the token is not scoped for is 403, an unknown token 401',
  async (t) => {
    const { body } = await create({ ...valid, name: 'Reads only', scopes: ['um:read'] })
    const bearer = (secret: string) => ({ authorization: `Bearer ${secret}` })
    t.equal((await verify(bearer(body.secret), '?scope=um:read')).status, 200)
    for (const scope of ['um:write', 'um:bulk', 'um:read+um:write']) {
      const answer = await verify(bearer(body.secret), `?scope=${scope}`)
      t.match(answer, { status: 403, body: { code: 'insufficient_scope' } })
    }
    t.equal((await verify(bearer('pat_tenant-7_unknown'), '?scope=um:read')).status, 401)
  },
)

t.test('the value is displayed only once, in the form pat_<tenant>_<token>', async (t) => {
  const { body } = await create({ ...valid, name: 'Shown once' })
  t.match(body.secret, /^pat_tenant-7_[0-9A-Za-z]{36}$/)
  t.notOk((await http('GET', `${tokens}/${body.id}`)).text.includes(body.secret))
  t.match(
    (await http('GET', `${tokens}/${body.id}`)).body.hint,
    /^pat_tenant-7_[0-9A-Za-z]{4}…[0-9A-Za-z]{4}$/,
  )
})

t.test('the list has name, creation, expiry and scopes of all tokens of the tenant', async (t) => {
  const items = await list('?status=active&limit=200')
  for (const item of items)
    t.match(item, { name: /.{8}/, created_at: /Z$/, scopes: [/^um:/], status: 'active' })
  t.same([...new Set(items.map(({ owner }) => owner.subject))].sort(), ['ada', 'bob'])
})

t.test('a revoked token stops at once, not within 60 seconds, and is displayed as revoked', async (t) => {
  const { body } = await create({ ...valid, name: 'Compromised' })
  t.equal((await introspect(body.secret)).active, true)
  const revoked = await http('POST', `${tokens}/${body.id}/revoke`, { body: { reason: 'Found in a log' } })
  t.match(revoked, { status: 200, body: { status: 'revoked', revoked_reason: 'Found in a log' } })
  t.same(await introspect(body.secret), { active: false })
  t.match(await list('?status=revoked&limit=1'), [{ name: 'Compromised' }])
  const again = await http('POST', `${tokens}/${body.id}/revoke`, { body: { reason: 'Other' } })
  t.equal(again.body.revoked_reason, 'Found in a log', 'which cannot be undone')
  t.ok((await list('?status=expired')).length > 0, 'expired ones are displayed as expired instead')
})

t.test('the change log has who created and who revoked it', async (t) => {
  const { body } = await audit('?action=token.revoked&limit=1')
  const [event] = body.items
  t.match(event, {
    action: 'token.revoked',
    target: { type: 'token', name: 'Compromised' },
    actor: { type: 'token', name: 'tokens:read tokens:write' },
    changes: { after: { reason: 'Found in a log' } },
  })
  const history = (await audit(`?target=${event.target.id}`)).body.items
  t.same(
    history.map(({ action }: any) => action),
    ['token.revoked', 'token.created'],
  )
})

t.test('the API is documented with its endpoints, permissions and errors', async (t) => {
  const { status, body } = await http('GET', '/openapi.json', { token: '' })
  t.equal(status, 200)
  t.ok(body.paths['/v1/organizations/{organization}/tokens'].post.responses['409'])
})

// The requests that Okta and Microsoft Entra document, sent unchanged: "SCIM 2.0 Protocol Reference" at
// developer.okta.com, and "Develop and plan provisioning for a SCIM endpoint" at learn.microsoft.com.
import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const scim = await world.manager(['scim'])
const schemas = ['urn:ietf:params:scim:schemas:core:2.0:User']
const enterprise = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'
const patchSchemas = ['urn:ietf:params:scim:api:messages:2.0:PatchOp']

const ask = (method: string, path: string, body?: object) =>
  world.ask(method, `/scim/v2${path}`, {
    token: scim,
    headers: { accept: 'application/scim+json', ...(body && { 'content-type': 'application/scim+json' }) },
    body,
  })

/** As Okta creates a user. */
const okta = (userName: string, more: object = {}) => ({
  schemas,
  userName,
  name: { givenName: 'Test', familyName: 'User' },
  emails: [{ primary: true, value: userName, type: 'work' }],
  displayName: 'Test User',
  locale: 'en-US',
  externalId: `00u-${userName}`,
  groups: [],
  password: '1mz050nq',
  active: true,
  ...more,
})

/** As Entra creates a user. */
const entra = (userName: string, more: object = {}) => ({
  schemas: [...schemas, enterprise],
  externalId: `0a21f0f2-8d2a-4f8e-bf98-${userName}`,
  userName,
  active: true,
  displayName: 'lennay',
  emails: [{ primary: true, type: 'work', value: `${userName}@testuser.example` }],
  meta: { resourceType: 'User' },
  name: { formatted: 'givenName familyName', familyName: 'familyName', givenName: 'givenName' },
  roles: [],
  [enterprise]: { department: 'bob', manager: { value: 'x' } },
  ...more,
})

/** How each asks whether a connection works, and whether a user exists. */
const questions: [what: string, path: string][] = [
  ['Okta tests the connection', '/Users?startIndex=1&count=2'],
  ['Okta looks for a user', '/Users?filter=userName%20eq%20%22nobody%40okta.local%22&startIndex=1&count=100'],
  ['Okta imports groups', '/Groups?startIndex=1&count=100'],
  ['Entra tests the connection', '/Users?filter=userName+eq+%228ed2f3a5-9a47-4d36-8aeb-2f4d7a5c1e7d%22'],
  ['Entra looks for a user', '/Users?filter=externalId%20eq%20%22jyoung%22'],
  [
    'Entra looks for an address',
    '/Users?filter=emails[type%20eq%20%22work%22].value%20eq%20%22a@b.example%22',
  ],
  ['Entra looks for a group', '/Groups?excludedAttributes=members&filter=displayName%20eq%20%22BBB%22'],
]

t.test('questions about what is not there get an empty list', async (t) => {
  for (const [what, path] of questions) {
    const { status, headers, body } = await ask('GET', path)
    t.equal(status, 200, what)
    t.match(headers['content-type'], /^application\/scim\+json/)
    t.match(body, { totalResults: 0, startIndex: 1, itemsPerPage: 0, Resources: [] }, what)
    t.same(body.schemas, ['urn:ietf:params:scim:api:messages:2.0:ListResponse'])
  }
})

t.test('a user that Okta or Entra creates is found as they look for it, and owns tokens', async (t) => {
  for (const [what, shape, filter] of [
    ['Okta', okta('made@okta.local'), 'userName eq "made@okta.local"'],
    ['Entra', entra('Test_User_ab6490ee'), 'externalId eq "0a21f0f2-8d2a-4f8e-bf98-Test_User_ab6490ee"'],
  ] as const) {
    const created = await ask('POST', '/Users', shape)
    t.equal(created.status, 201, what)
    t.equal(created.headers.location, created.body.meta.location)
    t.equal(created.headers.etag, created.body.meta.version)
    const { userName, externalId, name, emails, active, displayName } = shape
    const kept = { userName, externalId, name, emails, active, displayName }
    t.match(created.body, { id: String, schemas, ...kept, meta: { resourceType: 'User' } }, what)
    t.notOk('password' in created.body, 'a password is not kept')
    const found = await ask('GET', `/Users?${new URLSearchParams({ filter, startIndex: '1', count: '100' })}`)
    t.match(found.body, { totalResults: 1, Resources: [{ id: created.body.id, ...kept }] }, what)
    t.match(await ask('POST', '/Users', shape), {
      status: 409,
      body: { status: '409', scimType: 'uniqueness' },
    })
    const record = await world.ask('GET', `/v1/organizations/default/owners/${userName}`)
    t.match(record.body, { identity_source: 'sso', external_id: externalId, email: emails[0]?.value })
    t.match(await world.introspect((await world.issue({ owner: { subject: userName } })).secret), {
      active: true,
    })
  }
})

type Change = [what: string, change: (user: any) => ['PATCH' | 'PUT' | 'DELETE', object?]]
const patch = (...Operations: object[]): ['PATCH', object] => ['PATCH', { schemas: patchSchemas, Operations }]

const deactivations: Change[] = [
  ['Okta, PATCH without path', () => patch({ op: 'replace', value: { active: false } })],
  ['Okta, PUT', (user) => ['PUT', { ...okta(user.userName), ...user, active: false, groups: [] }]],
  ['Entra, with the flag aadOptscim062020', () => patch({ op: 'Replace', path: 'active', value: false })],
  ['Entra, without it', () => patch({ op: 'Replace', path: 'active', value: 'False' })],
  ['Entra, in lower case', () => patch({ op: 'replace', path: 'active', value: 'false' })],
  ['Entra, added', () => patch({ op: 'Add', path: 'active', value: 'False' })],
  [
    'Entra, with other changes',
    () =>
      patch(
        { op: 'Add', path: 'title', value: 'Boss' },
        { op: 'Replace', path: 'active', value: 'False' },
        { op: 'Add', path: `${enterprise}:department`, value: 'Sales' },
        { op: 'Replace', path: 'name.familyName', value: 'Left' },
      ),
  ],
  ['by the URN of the schema', () => patch({ op: 'replace', path: `${schemas[0]}:active`, value: false })],
  ['a value object with the URN', () => patch({ op: 'replace', value: { [`${schemas[0]}:active`]: false } })],
  ['in capitals', () => patch({ op: 'REPLACE', path: 'ACTIVE', value: 'FALSE' })],
  ['a value object as a string', () => patch({ op: 'Replace', value: { active: 'False' } })],
  ['deletion', () => ['DELETE']],
]

const reactivations: Change[] = [
  ['Okta, PATCH without path', () => patch({ op: 'replace', value: { active: true } })],
  ['Okta, PUT', (user) => ['PUT', { ...okta(user.userName), ...user, active: true, groups: [] }]],
  ['Entra, with the flag', () => patch({ op: 'Replace', path: 'active', value: true })],
  ['Entra, without it', () => patch({ op: 'Replace', path: 'active', value: 'True' })],
]

t.test('every way to deactivate a user stops all of their tokens at once, and no others', async (t) => {
  const bystander = await world.issue({ owner: { subject: 'bystander' } })
  for (const [index, [what, change]] of deactivations.entries()) {
    const userName = `leaver-${index}@example.com`
    const { body: user } = await ask('POST', '/Users', okta(userName))
    const owner = { subject: userName }
    const one = await world.issue({ owner })
    const other = await world.issue({ type: 'management', scopes: ['tokens:read'], owner })
    const [method, body] = change(user)
    const answer = await ask(method, `/Users/${user.id}`, body)
    t.equal(answer.status, method === 'DELETE' ? 204 : 200, `${what}: ${answer.text}`)
    if (method !== 'DELETE') t.equal(answer.body.active, false, what)
    for (const { secret } of [one, other]) t.same(await world.introspect(secret), { active: false }, what)
    t.match(await world.introspect(bystander.secret), { active: true })
    const refused = await world.ask('POST', '/v1/organizations/default/tokens', {
      body: { name: 'New', type: 'api', owner },
    })
    t.match(refused, { status: 409, body: { code: 'suspended' } }, `${what}: no new tokens`)
  }
})

t.test(
  'every way to reactivate a user brings back their tokens, but none that was revoked meanwhile',
  async (t) => {
    for (const [index, [what, change]] of reactivations.entries()) {
      const userName = `returner-${index}@example.com`
      const { body: user } = await ask('POST', '/Users', okta(userName))
      const owner = { subject: userName }
      const kept = await world.issue({ owner })
      const revoked = await world.issue({ owner })
      const off = await ask(
        'PATCH',
        `/Users/${user.id}`,
        patch({ op: 'replace', value: { active: false } })[1],
      )
      await world.ask('POST', `/v1/organizations/default/tokens/${revoked.id}/revoke`)
      const [method, body] = change(off.body)
      t.match(await ask(method, `/Users/${user.id}`, body), { status: 200, body: { active: true } }, what)
      t.match(await world.introspect(kept.secret), { active: true }, what)
      t.same(await world.introspect(revoked.secret), { active: false }, what)
    }
  },
)

t.test('a deleted user is not found, and the record of the owner stays', async (t) => {
  const { body: user } = await ask('POST', '/Users', entra('deleted'))
  t.equal((await ask('DELETE', `/Users/${user.id}`)).status, 204)
  for (const [method, body] of [
    ['GET'],
    ['DELETE'],
    ['PUT', entra('deleted')],
    patch({ op: 'replace', value: { active: true } }),
  ] as const)
    t.match(await ask(method, `/Users/${user.id}`, body), { status: 404, body: { status: '404' } }, method)
  t.match((await world.ask('GET', '/v1/organizations/default/owners/deleted')).body, {
    suspended_by: ['scim_deleted'],
  })
  const { items } = (await world.ask('GET', '/v1/organizations/default/audit-events?target=deleted')).body
  t.same(
    items.map(({ action }: any) => action),
    ['owner.suspended', 'owner.deprovisioned', 'owner.provisioned'],
  )
})

t.test('a deleted user who returns with the same external id gets their tokens back', async (t) => {
  const { body: user } = await ask('POST', '/Users', entra('again'))
  const { secret } = await world.issue({ owner: { subject: 'again' } })
  await ask('DELETE', `/Users/${user.id}`)
  t.same(await world.introspect(secret), { active: false })
  t.equal((await ask('POST', '/Users', entra('again'))).status, 201)
  t.match(await world.introspect(secret), { active: true })
})

t.test('another person who gets the name of a deleted user does not get their tokens', async (t) => {
  for (const [index, externalId] of ['another', null, undefined].entries()) {
    const userName = `recycled-${index}`
    const { body: user } = await ask('POST', '/Users', entra(userName))
    const { secret } = await world.issue({ owner: { subject: userName } })
    await ask('DELETE', `/Users/${user.id}`)
    t.equal((await ask('POST', '/Users', entra(userName, { externalId }))).status, 201)
    t.same(await world.introspect(secret), { active: false }, String(externalId))
    const { secret: fresh } = await world.issue({ owner: { subject: userName } })
    t.match(await world.introspect(fresh), { active: true }, 'new tokens work')
  }
})

t.test('a rejected change to the name of a deleted user revokes nothing', async (t) => {
  const { body: deleted } = await ask('POST', '/Users', entra('wanted'))
  const { id } = await world.issue({ owner: { subject: 'wanted' } })
  await ask('DELETE', `/Users/${deleted.id}`)
  const { body: user } = await ask('POST', '/Users', entra('wanting'))
  const { status } = await world.ask('PUT', `/scim/v2/Users/${user.id}`, {
    token: scim,
    headers: { 'content-type': 'application/scim+json', 'if-match': '"7"' },
    body: { ...user, userName: 'wanted' },
  })
  t.equal(status, 412)
  t.match((await world.ask('GET', `/v1/organizations/default/tokens/${id}`)).body, { revoked_at: null })
})

t.test('after a change of name, tokens of both names stop when the user leaves', async (t) => {
  const { body: user } = await ask('POST', '/Users', entra('maiden'))
  const before = await world.issue({ owner: { subject: 'maiden' } })
  const renamed = patch({ op: 'Replace', path: 'userName', value: 'married' })[1]
  t.match(await ask('PATCH', `/Users/${user.id}`, renamed), { status: 200, body: { userName: 'married' } })
  const after = await world.issue({ owner: { subject: 'married' } })
  t.match(await world.introspect(before.secret), { active: true })
  t.match(await ask('POST', '/Users', entra('maiden')), {
    status: 409,
    body: { scimType: 'uniqueness', detail: /tokens of another user/ },
  })
  await ask('PATCH', `/Users/${user.id}`, patch({ op: 'replace', value: { active: false } })[1])
  for (const { secret } of [before, after]) t.same(await world.introspect(secret), { active: false })
})

t.test('a name that was given up is free once its tokens are revoked', async (t) => {
  const { body: user } = await ask('POST', '/Users', entra('given-up'))
  const old = await world.issue({ owner: { subject: 'given-up' } })
  await ask('PATCH', `/Users/${user.id}`, patch({ op: 'Replace', path: 'userName', value: 'kept' })[1])
  t.equal((await ask('POST', '/Users', entra('given-up'))).status, 409)
  await world.ask('POST', `/v1/organizations/default/tokens/${old.id}/revoke`)
  t.equal((await ask('POST', '/Users', entra('given-up'))).status, 201)
})

t.test('what an administrator suspended stays suspended when the directory says active', async (t) => {
  const { body: user } = await ask('POST', '/Users', entra('suspect'))
  const { secret } = await world.issue({ owner: { subject: 'suspect' } })
  const owner = '/v1/organizations/default/owners/suspect'
  await world.ask('POST', `${owner}/suspend`)
  const activate = (active: boolean) =>
    ask('PATCH', `/Users/${user.id}`, patch({ op: 'replace', value: { active } })[1])
  await activate(false)
  t.match((await world.ask('GET', owner)).body, { suspended_by: ['administrator', 'scim'] })
  t.match(await activate(true), { body: { active: true } })
  t.match((await world.ask('GET', owner)).body, { suspended_by: ['administrator'], suspended_at: String })
  t.same(await world.introspect(secret), { active: false })
  await activate(false)
  t.match((await world.ask('POST', `${owner}/resume`)).body, { suspended_by: [], suspended_at: null })
  t.match(await world.introspect(secret), { active: true }, 'an administrator ends every suspension')
  await activate(false)
  t.same(await world.introspect(secret), { active: false }, 'and the directory may suspend again')
})

t.test('an owner who had tokens before the directory knew them becomes the user’s', async (t) => {
  const { secret } = await world.issue({ owner: { subject: 'earlier', identity_source: 'internal' } })
  const { body: user } = await ask('POST', '/Users', entra('earlier'))
  t.match((await world.ask('GET', '/v1/organizations/default/owners/earlier')).body, {
    identity_source: 'sso',
  })
  await ask('PATCH', `/Users/${user.id}`, patch({ op: 'replace', value: { active: false } })[1])
  t.same(await world.introspect(secret), { active: false })
})

t.test('a user who is created inactive cannot have tokens', async (t) => {
  t.equal((await ask('POST', '/Users', entra('inactive', { active: 'False' }))).status, 201)
  const body = { name: 'New', type: 'api', owner: { subject: 'inactive' } }
  const refused = await world.ask('POST', '/v1/organizations/default/tokens', { body })
  t.match(refused, { status: 409, body: { code: 'suspended' } })
})

t.test('a PUT without active does not bring back a user who has left', async (t) => {
  const { body: user } = await ask('POST', '/Users', entra('gone', { active: false }))
  const { active: _, ...shape } = entra('gone')
  t.match(await ask('PUT', `/Users/${user.id}`, shape), { status: 200, body: { active: false } })
})

t.test('updates that Entra documents change the addresses and names', async (t) => {
  const { body: user } = await ask('POST', '/Users', entra('updated'))
  const change = async (...operations: object[]) =>
    (await ask('PATCH', `/Users/${user.id}`, patch(...operations)[1])).body
  const work = 'emails[type eq "work"].value'
  t.match(
    await change(
      { op: 'Replace', path: work, value: 'updated@example.com' },
      { op: 'Replace', path: 'name.familyName', value: 'updatedFamilyName' },
    ),
    {
      emails: [{ type: 'work', value: 'updated@example.com', primary: true }],
      name: { familyName: 'updatedFamilyName', givenName: 'givenName' },
    },
  )
  t.match((await world.ask('GET', '/v1/organizations/default/owners/updated')).body, {
    email: 'updated@example.com',
  })
  t.same((await change({ op: 'Remove', path: 'emails[type eq "work"]' })).emails, undefined)
  t.same((await change({ op: 'Add', path: work, value: 'new@example.com' })).emails, [
    { type: 'work', value: 'new@example.com' },
  ])
  t.same(
    (
      await change({
        op: 'Add',
        path: 'emails',
        value: [{ value: 'home@example.com', type: 'home', primary: true }],
      })
    ).emails.length,
    2,
  )
  t.match(await change({ op: 'Add', value: { [work]: 'third@example.com', 'name.givenName': 'Ada' } }), {
    emails: [{ value: 'third@example.com' }, { value: 'home@example.com' }],
    name: { givenName: 'Ada' },
  })
})

t.test(
  'the policy can make externalId the subject, which is what sign-ins of Okta and Entra have',
  async (t) => {
    const policy = '/v1/organizations/default/policy'
    const setSubject = (subject: string | null) => world.ask('PATCH', policy, { body: { scim: { subject } } })
    const early = entra('early')
    await ask('POST', '/Users', early)
    const named = await world.issue({ owner: { subject: 'early' } })
    t.equal((await setSubject('external_id')).status, 200)
    t.teardown(() => setSubject(null))

    for (const shape of [okta('by-id@example.com'), entra('by-id')]) {
      const { body: user } = await ask('POST', '/Users', shape)
      const { secret } = await world.issue({ owner: { subject: user.externalId } })
      for (const active of [false, true]) {
        await ask('PATCH', `/Users/${user.id}`, patch({ op: 'replace', value: { active } })[1])
        t.equal((await world.introspect(secret)).active, active)
      }
      // Okta's documented PUT has no externalId.
      const { externalId: _, ...without } = { ...shape, active: false }
      t.equal((await ask('PUT', `/Users/${user.id}`, without)).status, 200)
      t.same(await world.introspect(secret), { active: false })
    }

    const refused = await ask('POST', '/Users', entra('no-id', { externalId: undefined }))
    t.match(refused, { status: 400, body: { scimType: 'invalidValue', detail: /externalId is required/ } })

    const later = await world.issue({ owner: { subject: early.externalId } })
    const { body: found } = await ask('GET', '/Users?filter=userName%20eq%20%22early%22')
    const off = patch({ op: 'replace', value: { active: false } })[1]
    t.equal((await ask('PATCH', `/Users/${found.Resources[0].id}`, off)).status, 200)
    for (const { secret } of [named, later])
      t.same(
        await world.introspect(secret),
        { active: false },
        'a user from before leaves with both subjects',
      )
  },
)

t.test('two users cannot have the externalId that is their subject', async (t) => {
  await world.ask('PATCH', '/v1/organizations/default/policy', { body: { scim: { subject: 'external_id' } } })
  const externalId = 'one-person'
  const answers = await Promise.all(
    ['first', 'second', 'third'].map((name) => ask('POST', '/Users', entra(name, { externalId }))),
  )
  t.same(answers.map(({ status }) => status).sort(), [201, 409, 409])
  for (const { status, body } of answers)
    if (status === 409) t.match(body, { scimType: 'uniqueness', detail: /externalId/ })
  const { body: other } = await ask('POST', '/Users', entra('other-person'))
  const change = patch({ op: 'replace', value: { externalId } })[1]
  t.match(await ask('PATCH', `/Users/${other.id}`, change), { status: 409 })
  await world.ask('PATCH', '/v1/organizations/default/policy', { body: { scim: null } })
})

import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const scim = await world.manager(['scim'])
await world.ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })
const elsewhere = await world.manager(['scim'], 'other')

const ask = (method: string, path: string, body?: unknown, more: object = {}) =>
  world.ask(method, `/scim/v2${path}`, { token: scim, body, ...more })
const create = async (userName: string, more: object = {}) =>
  (await ask('POST', '/Users', { userName, ...more })).body
const list = async (query: Record<string, string>, token = scim) =>
  (await ask('GET', `/Users?${new URLSearchParams(query)}`, undefined, { token })).body
const errorUrn = 'urn:ietf:params:scim:api:messages:2.0:Error'

t.test('users are created, read, replaced, changed and deleted', async (t) => {
  const user = await create('life', { displayName: 'Life', emails: ['life@example.com'] })
  t.same(user.emails, [{ value: 'life@example.com' }])
  const item = `/Users/${user.id}`
  t.same((await ask('GET', item)).body, user)
  t.match((await ask('PUT', item, { userName: 'life', name: { givenName: 'L' } })).body, {
    name: { givenName: 'L' },
    displayName: undefined,
    emails: undefined,
    active: true,
  })
  const Operations = [{ op: 'add', path: 'displayName', value: 'Lively' }]
  t.match((await ask('PATCH', item, { Operations })).body, {
    displayName: 'Lively',
    name: { givenName: 'L' },
  })
  t.match(await ask('DELETE', item), { status: 204, text: '' })
  t.equal((await ask('GET', item)).status, 404)
})

t.test('application/json is accepted too, and the response is application/scim+json', async (t) => {
  for (const type of ['application/json', 'application/scim+json', 'application/scim+json; charset=utf-8']) {
    const headers = { 'content-type': type }
    const answer = await ask('POST', '/Users', { userName: `typed ${type}` }, { headers })
    t.equal(answer.status, 201, type)
    t.match(answer.headers['content-type'], /^application\/scim\+json/)
  }
})

const bad: [what: string, body: unknown, scimType: string, detail: RegExp][] = [
  ['no JSON', '{', 'invalidSyntax', /not valid JSON/],
  ['a list', [], 'invalidSyntax', /must be object/],
  ['no name', {}, 'invalidValue', /userName is required/],
  ['a blank name', { userName: ' ' }, 'invalidValue', /userName is required/],
  ['a number as name', { userName: 7 }, 'invalidValue', /userName must be a string/],
  ['a long name', { userName: 'x'.repeat(256) }, 'invalidValue', /at most 255/],
  ['NUL in a name', { userName: 'a\0b' }, 'invalidSyntax', /NUL/],
  ['a token in a name', { userName: scim }, 'invalidSyntax', /contains a token/],
  ['half a pair in a name', '{"userName":"\\ud800"}', 'invalidSyntax', /surrogate/],
  ['an odd active', { userName: 'x', active: 'yes' }, 'invalidValue', /active must be true or false/],
  ['text as name', { userName: 'x', name: 'X' }, 'invalidValue', /name must be an object/],
  ['a number in a name', { userName: 'x', name: { givenName: 1 } }, 'invalidValue', /name\.givenName/],
  ['too many addresses', { userName: 'x', emails: Array(21).fill('a@b') }, 'invalidValue', /at most 20/],
  [
    'two primary addresses',
    { userName: 'x', emails: [1, 2].map((n) => ({ value: `${n}@x`, primary: true })) },
    'invalidValue',
    /only one primary/,
  ],
  ['another schema', { userName: 'x', schemas: ['urn:x'] }, 'invalidValue', /schemas must contain/],
]

t.test('a bad user is a 400 that says why, and is not stored', async (t) => {
  const { totalResults } = await list({})
  const { id } = await create('good')
  for (const [what, body, scimType, detail] of bad)
    for (const [method, path] of [
      ['POST', '/Users'],
      ['PUT', `/Users/${id}`],
    ] as const) {
      const answer = await ask(method, path, body)
      t.match(answer, { status: 400, body: { schemas: [errorUrn], status: '400', scimType, detail } }, what)
    }
  t.equal((await list({})).totalResults, totalResults + 1)
})

const badPatches: [what: string, body: object, scimType: string, detail: RegExp][] = [
  ['no operations', {}, 'invalidSyntax', /Operations must be/],
  ['an empty list', { Operations: [] }, 'invalidSyntax', /Operations must be/],
  ['too many', { Operations: Array(101).fill({}) }, 'invalidSyntax', /at most 100/],
  ['another schema', { schemas: ['urn:x'], Operations: [{}] }, 'invalidSyntax', /schemas must contain/],
  ['no object', { Operations: ['x'] }, 'invalidSyntax', /only objects/],
  ['another op', { Operations: [{ op: 'move' }] }, 'invalidSyntax', /op must be/],
  ['remove without path', { Operations: [{ op: 'remove' }] }, 'noTarget', /path is required/],
  ['no value', { Operations: [{ op: 'add', path: 'active' }] }, 'invalidValue', /value is required/],
  ['no object without path', { Operations: [{ op: 'add', value: 1 }] }, 'invalidValue', /must be an object/],
  ['a number as path', { Operations: [{ op: 'add', path: 1, value: 1 }] }, 'invalidPath', /a string/],
  ['no path', { Operations: [{ op: 'add', path: 'a b', value: 1 }] }, 'invalidPath', /is not a path/],
  ['an unknown path', { Operations: [{ op: 'add', path: 'shoes', value: 1 }] }, 'invalidPath', /shoes/],
  ['the prototype', { Operations: [{ op: 'add', path: '__proto__', value: {} }] }, 'invalidPath', /unknown/],
  ['a read-only path', { Operations: [{ op: 'add', path: 'id', value: 'x' }] }, 'mutability', /read-only/],
  ['its metadata', { Operations: [{ op: 'remove', path: 'meta.created' }] }, 'mutability', /read-only/],
  ['the name removed', { Operations: [{ op: 'remove', path: 'userName' }] }, 'invalidValue', /required/],
  ['active removed', { Operations: [{ op: 'remove', path: 'active' }] }, 'invalidValue', /required/],
  [
    'brackets elsewhere',
    { Operations: [{ op: 'add', path: 'name[x eq "y"]', value: 1 }] },
    'invalidPath',
    /not multi-valued/,
  ],
  [
    'a bad filter',
    { Operations: [{ op: 'add', path: 'emails[type is "y"].value', value: 'x' }] },
    'invalidFilter',
    /unknown operator/,
  ],
  [
    'an unknown sub-attribute',
    { Operations: [{ op: 'add', path: 'emails[type eq "y"].shoes', value: 'x' }] },
    'invalidPath',
    /sub-attribute/,
  ],
  [
    'nothing that matches',
    { Operations: [{ op: 'replace', path: 'emails[type sw "y"].value', value: 'x' }] },
    'noTarget',
    /matches no value/,
  ],
]

t.test('a bad PATCH is a 400 that says why, and nothing of it applies', async (t) => {
  const before = await create('patched', { displayName: 'Before' })
  for (const [what, body, scimType, detail] of badPatches) {
    const { Operations = [] } = body as { Operations?: unknown[] }
    const first = Operations.length === 1 ? [{ op: 'replace', path: 'displayName', value: 'After' }] : []
    const sent = 'Operations' in body ? { ...body, Operations: [...first, ...Operations] } : body
    const answer = await ask('PATCH', `/Users/${before.id}`, sent)
    t.match(answer, { status: 400, body: { schemas: [errorUrn], scimType, detail } }, what)
    t.same((await ask('GET', `/Users/${before.id}`)).body, before, what)
  }
})

t.test('userName is unique in any case, in the organization', async (t) => {
  const { id } = await create('Unique')
  const conflict = { status: 409, body: { status: '409', scimType: 'uniqueness' } }
  t.match(await ask('POST', '/Users', { userName: 'uNIQUE' }), conflict)
  const { id: second } = await create('second')
  t.match(await ask('PUT', `/Users/${second}`, { userName: 'UNIQUE' }), conflict)
  t.equal((await ask('PUT', `/Users/${id}`, { userName: 'UNIQUE' })).status, 200, 'the same user')
  t.equal((await ask('POST', '/Users', { userName: 'Unique' }, { token: elsewhere })).status, 201)
})

t.test('users created at the same time: one of them gets the name', async (t) => {
  const answers = await Promise.all(
    Array.from({ length: 5 }, () => ask('POST', '/Users', { userName: 'race' })),
  )
  t.same(answers.map(({ status }) => status).sort(), [201, 409, 409, 409, 409])
})

t.test('another organization’s users are not found', async (t) => {
  const { id } = await create('ours')
  const Operations = [{ op: 'replace', path: 'active', value: false }]
  for (const [method, body] of [
    ['GET'],
    ['PUT', { userName: 'theirs' }],
    ['PATCH', { Operations }],
    ['DELETE'],
  ] as const)
    for (const token of [elsewhere, world.admin])
      t.match(await ask(method, `/Users/${id}`, body, { token }), { status: 404, body: { status: '404' } })
  t.same((await list({ filter: 'userName eq "ours"' }, elsewhere)).Resources, [])
  t.match((await ask('GET', `/Users/${id}`)).body, { active: true })
})

t.test('without a good token of a permitted caller nothing is told', async (t) => {
  for (const [what, token, status] of [
    ['none', '', 401],
    ['an unknown one', `${scim}x`, 401],
    ['without the permission', await world.manager(['tokens:read', 'tokens:write', 'policy:write']), 403],
    ['of another type', (await world.issue({ type: 'api', scopes: ['scim'] })).secret, 403],
    [
      'narrowed to types',
      await world.manager(['scim', 'tokens:introspect'], 'default', { narrowed_to: { types: ['api'] } }),
      403,
    ],
  ] as const)
    for (const path of ['/Users', '/ServiceProviderConfig', '/Groups']) {
      const answer = await ask('GET', path, undefined, { token })
      if (what === 'narrowed to types' && path !== '/Users') continue
      t.match(answer, { status, body: { schemas: [errorUrn], status: String(status) } }, `${what} ${path}`)
      t.ok(answer.headers['www-authenticate'], what)
    }
})

t.test('a body that is too large is a 413', async (t) => {
  t.match(await ask('POST', '/Users', { userName: 'x', displayName: 'x'.repeat(70_000) }), {
    status: 413,
    body: { schemas: [errorUrn], status: '413' },
  })
})

t.test('paths and methods that do not exist get SCIM errors', async (t) => {
  t.match(await ask('GET', '/Shoes'), { status: 404, body: { schemas: [errorUrn], status: '404' } })
  t.match(await ask('POST', '/Groups', {}), { status: 405, body: { schemas: [errorUrn], status: '405' } })
  t.match(await ask('GET', '/Users/unknown'), { status: 404, body: { schemas: [errorUrn] } })
  t.match(await ask('GET', '/Schemas/urn:x'), { status: 404 })
})

t.test('lists come in pages', async (t) => {
  const names = Array.from({ length: 7 }, (_, i) => `page-${i}`)
  for (const name of names) await create(name)
  const filter = 'userName sw "page-"'
  const seen: string[] = []
  for (const startIndex of [1, 4, 7]) {
    const page = await list({ filter, startIndex: String(startIndex), count: '3' })
    t.match(page, { totalResults: 7, startIndex, itemsPerPage: startIndex === 7 ? 1 : 3 })
    seen.push(...page.Resources.map((user: any) => user.userName))
  }
  t.same(seen.sort(), names)
  t.match(await list({ filter, count: '0' }), { totalResults: 7, itemsPerPage: 0, Resources: [] })
  t.match(await list({ filter, count: '-1' }), { totalResults: 7, itemsPerPage: 0 })
  t.match(await list({ filter, startIndex: '-5' }), { startIndex: 1, itemsPerPage: 7 })
  t.match(await list({ filter, startIndex: '8' }), { totalResults: 7, itemsPerPage: 0, Resources: [] })
  t.match(await ask('GET', '/Users?count=x'), { status: 400, body: { schemas: [errorUrn] } })
  for (const path of ['/.search', '/Users/.search'])
    t.match((await ask('POST', path, { filter, startIndex: 2, count: 2, attributes: ['userName'] })).body, {
      totalResults: 7,
      startIndex: 2,
      Resources: [{ userName: 'page-1', active: undefined }, { userName: 'page-2' }],
    })
})

t.test('attributes and excludedAttributes choose what is returned; id and schemas always are', async (t) => {
  const emails = [{ value: 'a@example.com', type: 'work', primary: true }]
  const { id } = await create('chosen', {
    displayName: 'C',
    name: { givenName: 'A', familyName: 'B' },
    emails,
  })
  const get = async (query: string) => (await ask('GET', `/Users/${id}?${query}`)).body
  const members = async (query: string) => Object.keys(await get(query)).sort()
  t.same(await members('attributes=USERNAME,shoes'), ['id', 'schemas', 'userName'])
  t.same(await members('attributes=urn:ietf:params:scim:schemas:core:2.0:User:displayName'), [
    'displayName',
    'id',
    'schemas',
  ])
  t.match(await get('attributes=name.givenName,emails.value,emails.type'), {
    name: { givenName: 'A', familyName: undefined },
    emails: [{ value: 'a@example.com', type: 'work', primary: undefined }],
  })
  t.same(await members('excludedAttributes=id,schemas,emails,name,meta,active'), [
    'displayName',
    'id',
    'schemas',
    'userName',
  ])
  t.match(await get('excludedAttributes=name.givenName,emails.value'), {
    name: { givenName: undefined, familyName: 'B' },
    emails: [{ value: undefined, type: 'work' }],
  })
  t.equal((await ask('GET', `/Users/${id}?attributes=userName&excludedAttributes=name`)).status, 400)
  const page = await list({ filter: 'userName eq "chosen"', attributes: 'active' })
  t.same(Object.keys(page.Resources[0]).sort(), ['active', 'id', 'schemas'])
})

t.test('a change on a version that is gone is a 412, and one without effect keeps the version', async (t) => {
  const { id, meta } = await create('versioned')
  const put = (displayName: string, tag: string) =>
    ask('PUT', `/Users/${id}`, { userName: 'versioned', displayName }, { headers: { 'if-match': tag } })
  t.equal(meta.version, '"1"')
  t.match(await put('One', '"1"'), {
    status: 200,
    headers: { etag: '"2"' },
    body: { meta: { version: '"2"' } },
  })
  t.match(await put('Two', '"1"'), { status: 412, body: { schemas: [errorUrn], status: '412' } })
  t.match(await put('One', '"2"'), { status: 200, headers: { etag: '"2"' } })
  const stale = { headers: { 'if-match': '"1"' } }
  t.equal((await ask('DELETE', `/Users/${id}`, undefined, stale)).status, 412)
})

t.test('a failure half way through writes nothing', async (t) => {
  await world.sql('alter table owners rename to hidden')
  const { status } = await ask('POST', '/Users', { userName: 'half' })
  await world.sql('alter table hidden rename to owners')
  t.equal(status, 500)
  t.equal((await list({ filter: 'userName eq "half"' })).totalResults, 0)
})

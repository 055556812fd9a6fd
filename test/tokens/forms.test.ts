import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask } = world
const url = '/v1/organizations/default/tokens'
const create = (body: object) => ask('POST', url, { body: { name: 'A token', type: 'api', ...body } })
const policy = (body: object) => ask('PUT', '/v1/organizations/default/policy', { body })

const optional = [
  ...['comment', 'owner', 'scopes', 'audience', 'metadata', 'allowed_cidrs', 'narrowed_to', 'not_before'],
  ...['lifetime_days', 'expires_at', 'never_expires'],
]

t.test('null, "" and absence are the same for every optional member of a create', async (t) => {
  await policy({ lifetime: { default_days: 30, presets_days: [30] }, name: { required: false } })
  const { id: _, name: __, secret: ___, hint: ____, ...expected } = (await create({ name: undefined })).body
  t.match(expected, { expires_at: '2026-03-31T12:00:00.000Z', owner: null, comment: null, metadata: {} })
  const empties = [null, ''].flatMap((empty) => [
    ...optional.map((member) => ({ [member]: empty })),
    { name: empty },
    Object.fromEntries(optional.map((member) => [member, empty])),
    { owner: { subject: empty, email: empty, identity_source: empty } },
  ])
  for (const body of empties) {
    const answer = await create({ name: undefined, ...body })
    t.equal(answer.status, 201, JSON.stringify(body))
    const { id, name, secret, hint, ...same } = answer.body
    t.same(same, expected, JSON.stringify(body))
  }
  for (const empty of [null, '']) {
    const owner = { subject: 'u-1', email: empty, identity_source: empty }
    t.match(await create({ owner }), {
      body: { owner: { subject: 'u-1', email: null, identity_source: 'internal' } },
    })
  }
  t.match(
    await create({ owner: {} }),
    { status: 400 },
    'an object that never had a member is not a field left empty',
  )
  t.match(
    await create({ narrowed_to: { types: null } }),
    { status: 400 },
    'a limit is not dropped by its parts',
  )
  const metadata = { team: '', cost: null }
  t.same((await create({ metadata })).body.metadata, metadata, 'what is in metadata is the caller’s own')
  await policy({})
  t.match(await create({ name: '' }), { status: 422, body: { errors: [{ field: 'name' }] } })
})

t.test('a token can be created without expiry although the policy has another default', async (t) => {
  await policy({ lifetime: { default_days: 30, presets_days: [30] } })
  t.equal((await create({ never_expires: true })).body.expires_at, null)
  t.equal((await create({ never_expires: false })).body.expires_at, '2026-03-31T12:00:00.000Z')
  t.match(await create({ never_expires: true, lifetime_days: 7 }), {
    status: 422,
    body: { errors: [{ field: 'never_expires', detail: 'cannot be given together with lifetime_days' }] },
  })
  await policy({ lifetime: { maximum_days: 365, presets_days: [30], allow_no_expiry: false } })
  t.match(await create({ never_expires: true }), {
    status: 422,
    body: { errors: [{ field: 'never_expires' }] },
  })
  await policy({})
})

t.test('in a PATCH, a missing member is unchanged, and null or "" clears it', async (t) => {
  const full = { comment: 'Old', allowed_cidrs: ['192.0.2.0/24'] }
  for (const empty of [null, '']) {
    const { body } = await create(full)
    const item = `${url}/${body.id}`
    t.match((await ask('PATCH', item, { body: { name: 'New' } })).body, full)
    t.match((await ask('PATCH', item, { body: { comment: empty } })).body, { ...full, comment: null })
    t.match((await ask('PATCH', item, { body: { allowed_cidrs: empty } })).body, {
      comment: null,
      allowed_cidrs: null,
    })
    t.match(await ask('PATCH', item, { body: { name: empty } }), {
      status: 400,
      body: { errors: [{ field: 'name' }] },
    })
  }
})

t.test('the type is optional if only one can be created', async (t) => {
  await policy({ allowed_types: ['mcp', 'management'] })
  for (const type of [undefined, null, '']) t.equal((await create({ type })).body.type, 'mcp')
  await policy({ allowed_types: ['mcp', 'api'] })
  t.match(await create({ type: null }), {
    status: 422,
    body: { errors: [{ in: 'body', field: 'type', detail: /^is required; it can be (api, mcp|mcp, api)$/ }] },
  })
  await policy({})
  for (const [token, status] of [
    ['', 401],
    [await world.manager(['tokens:read']), 403],
  ] as const)
    t.equal((await ask('POST', url, { token, body: { name: 'A token' } })).status, status)
  await ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })
  const token = await world.manager(['tokens:write'], 'other')
  t.equal((await ask('POST', url, { token, body: { name: 'A token' } })).status, 404)
})

t.test('names are stored and compared without surrounding spaces and in NFC', async (t) => {
  await policy({ name: { unique: true }, delete: { confirm_name: true } })
  const composed = 'Zürich'
  const decomposed = composed.normalize('NFD')
  t.not(composed, decomposed)
  const { body } = await create({ name: `  ${decomposed}\u00a0` })
  t.equal(body.name, composed)
  for (const name of [composed, decomposed, ' zÜRICH '])
    t.match(await create({ name }), { status: 409, body: { code: 'name_taken' } }, name)
  const other = await create({ name: 'Other' })
  const rename = { body: { name: decomposed } }
  t.equal((await ask('PATCH', `${url}/${other.body.id}`, rename)).status, 409)
  await world.sql('update tokens set name = $1 where id = $2', [decomposed, other.body.id])
  t.match(await create({ name: composed }), { status: 409 }, 'also with what was stored before')
  const confirm = encodeURIComponent(`${decomposed} `)
  for (const { id } of [body, other.body])
    t.equal((await ask('DELETE', `${url}/${id}?confirm=${confirm}`)).status, 204)
  await policy({})
})

t.test('control and direction characters are rejected in every name, naming the field', async (t) => {
  const { body: token } = await create({})
  const trusted = {
    issuer: 'https://login.example',
    audience: 'counterfoil',
  }
  const places: [method: string, url: string, body: (name: string) => object][] = [
    ['POST', url, (name) => ({ name, type: 'api' })],
    ['PATCH', `${url}/${token.id}`, (name) => ({ name })],
    ['POST', '/v1/organizations', (name) => ({ key: 'acme', name })],
    ['PATCH', '/v1/organizations/default', (name) => ({ name })],
    ['POST', '/v1/organizations/default/issuers', (name) => ({ ...trusted, name })],
  ]
  for (const name of ['a\tb', 'a\nb', 'a\u0085b', 'a\u202eb', 'a\u2066b', 'a\u2028b', '\u200b', '  ']) {
    for (const [method, place, body] of places) {
      t.match(
        await ask(method, place, { body: body(name) }),
        {
          status: 400,
          body: { errors: [{ in: 'body', field: 'name', detail: /control characters|blank/ }] },
        },
        `${method} ${place} ${encodeURIComponent(name)}`,
      )
    }
  }
  for (const name of ['👩‍🚀 crew', 'שלום', 'a\u00a0b'])
    t.equal((await create({ name })).status, 201, encodeURIComponent(name))
  for (const comment of ['a\u202eb', 'a\u0007b'])
    t.match(await create({ comment }), { status: 400, body: { errors: [{ field: 'comment' }] } })
  t.equal((await create({ comment: 'Two\r\n\tlines' })).body.comment, 'Two\r\n\tlines')
})

t.test('names have up to 1,000 characters and comments up to 100,000, whatever characters', async (t) => {
  await policy({ name: { unique: true }, delete: { confirm_name: true } })
  // Random, so that PostgreSQL cannot compress them to fit.
  const letters = Array.from({ length: 1000 }, () =>
    String.fromCodePoint(0x20000 + Math.floor(Math.random() * 0xa000)),
  )
  const name = letters.join('')
  const comment = '🚀'.repeat(100_000)
  const made = await create({ name, comment })
  t.equal(made.status, 201)
  t.equal(made.body.name, name)
  t.equal(made.body.comment, comment)
  t.match(await create({ name }), { status: 409, body: { code: 'name_taken' } })
  const sibling = [...letters.slice(0, 999), 'x'].join('')
  t.equal((await create({ name: sibling })).status, 201, 'a name that differs at its end is another one')
  const sorted = []
  for (let next = `${url}?sort=name&limit=1`; next; ) {
    const page = await ask('GET', next)
    sorted.push(...page.body.items.map((token: { name: string }) => token.name))
    next = /<([^>]*)>/.exec(page.headers.link ?? '')?.[1] ?? ''
  }
  t.ok(sorted.includes(name) && sorted.includes(sibling))
  t.equal(new Set(sorted.map((_, index) => index)).size, sorted.length)
  for (const body of [{ name: `${name}x` }, { comment: `${comment}x` }])
    t.match(await create(body), { status: 400, body: { errors: [{ field: Object.keys(body)[0] }] } })

  const list = (await ask('GET', `${url}?limit=200`)).body.items
  const listed = list.find((token: { id: string }) => token.id === made.body.id)
  t.equal(listed.comment, '🚀'.repeat(10_000), 'a list shows the start of it')
  t.equal(listed.comment_truncated, true)
  t.equal(list.filter((token: { comment_truncated: boolean }) => token.comment_truncated).length, 1)
  const item = `${url}/${made.body.id}`
  t.match((await ask('GET', item)).body, { comment, comment_truncated: false })
  t.equal((await ask('PATCH', item, { body: { comment: `${comment.slice(2)}!` } })).status, 200)
  const [event] = (await ask('GET', `/v1/organizations/default/audit-events?target=${made.body.id}`)).body
    .items
  t.ok(event.changes.after.comment.length < 10_100, 'and so does the change log')
  const verified = await ask('GET', '/verify', {
    token: made.body.secret,
    headers: { 'x-counterfoil-gateway': world.admin },
  })
  t.equal(verified.headers['x-token-name'], encodeURIComponent(letters.slice(0, 200).join('')))
  t.equal((await ask('DELETE', `${item}?confirm=${encodeURIComponent(name)}`)).status, 204)
  await policy({})
})

t.test('RFC 6531: e-mail addresses with letters of any script are accepted', async (t) => {
  const good = [
    'ada@example.com',
    'jörg@example.com',
    'ada@müller.example',
    'ada@xn--mller-kva.example',
    '用户@例え.テスト',
    "o'brien+tokens@sub.example.co.uk",
  ]
  for (const email of good) {
    const { body } = await create({ owner: { subject: 'u-1', email } })
    t.equal(body.owner?.email, email, email)
  }
  t.equal(
    (await create({ owner: { subject: 'u-1', email: 'jörg@example.com'.normalize('NFD') } })).body.owner
      .email,
    'jörg@example.com',
  )
  const bad = [
    ...[
      'ada',
      'ada@',
      '@example.com',
      'ada@localhost',
      'a b@example.com',
      'ada@exa mple.com',
      'ada@-a.example',
    ],
    ...[
      '.ada@example.com',
      'a..b@example.com',
      'ada@example..com',
      'ada\u202e@example.com',
      'ada@a@example.com',
    ],
    ...[
      `${'ü'.repeat(33)}@example.com`,
      `ada@${'a'.repeat(64)}.example`,
      'ada@ex%61mple.com',
      'ada@[192.0.2.1]',
    ],
  ]
  for (const email of bad) {
    t.match(
      await create({ owner: { subject: 'u-1', email } }),
      { status: 400, body: { errors: [{ field: 'owner.email', detail: /must be an e-mail address/ }] } },
      email,
    )
  }
})

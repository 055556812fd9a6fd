import { isDeepStrictEqual } from 'node:util'
import t, { type Test } from 'tap'
import { isOneEditApart } from '../../src/http/messages.ts'
import { createWorld } from '../support/world.ts'
import { type Operation, operationsOf } from './contract.ts'
import { makeSpare, matrix, pathOf } from './matrix.ts'

const world = await createWorld(t)
const { ask } = world
const tokens = '/v1/organizations/default/tokens'

type Case = [method: string, url: string, body: unknown, field: string, detail: RegExp]

async function check(t: Test, cases: Case[]) {
  for (const [method, url, body, field, detail] of cases) {
    const answer = await ask(method, url, body === undefined ? {} : { body })
    t.ok([400, 422].includes(answer.status), `${url} ${answer.status}`)
    const said = answer.body.errors.find((error: { field: string }) => error.field === field)
    t.match(said?.detail, detail, `${method} ${url} ${JSON.stringify(body)}`)
    t.notMatch(answer.text, /must match pattern|\^\[/, 'no regular expression')
  }
}

t.test('a PATCH of a member that is fixed at creation says that it never changes', async (t) => {
  const { id } = await world.issue()
  await ask('POST', '/v1/token-types', { body: { name: 'fixed', prefix: 'fixed' } })
  const never = /^never changes$/
  const service = /is set by the service/
  const [token, type, organization] = [
    `${tokens}/${id}`,
    '/v1/token-types/fixed',
    '/v1/organizations/default',
  ]
  await check(t, [
    ...[
      'type',
      'scopes',
      'audience',
      'owner',
      'expires_at',
      'not_before',
      'narrowed_to',
      'created_at',
      'id',
    ].map((member): Case => ['PATCH', token, { [member]: 'x' }, member, never]),
    ...['status', 'hint', 'last_used_at', 'revoked_at', 'updated_at'].map(
      (member): Case => ['PATCH', token, { [member]: 'x' }, member, service],
    ),
    ...['name', 'format', 'prefix', 'carries_organization'].map(
      (member): Case => ['PATCH', type, { [member]: 'x' }, member, never],
    ),
    ['PATCH', type, { suspended_at: null }, 'suspended_at', service],
    ['PATCH', organization, { key: 'other' }, 'key', never],
    ['PATCH', organization, { suspended_at: null }, 'suspended_at', service],
    ['PATCH', token, { colour: 'red' }, 'colour', /^is not known here$/],
  ])
})

t.test(
  'every member that is shown, or given at creation, is accepted by a PATCH or PUT or has a reason',
  async (t) => {
    const operations = await operationsOf(world.app)
    const { schemas } = (world.app.swagger() as any).components
    const propertiesOf = ({ $ref }: { $ref: string }): Record<string, unknown> =>
      schemas[$ref.split('/').at(-1) as string].properties
    const bodyOf = (operation: Operation | undefined) =>
      operation?.definition.requestBody?.content['application/json'].schema
    let walked = 0
    for (const [n, operation] of operations.entries()) {
      if (!['PATCH', 'PUT'].includes(operation.method)) continue
      const { path, method, responses } = operation
      // SCIM ignores what it does not keep.
      if (path.startsWith('/scim/')) continue
      const target = await makeSpare(world, operation.id, n)
      const collection = path.replace(/\/\{[^}]+\}$/, '')
      const created = bodyOf(operations.find((one) => one.path === collection && one.method === 'POST'))
      const shown = propertiesOf(responses[200]?.content?.['application/json']?.schema)
      const accepted = Object.keys(propertiesOf(bodyOf(operation)))
      // A PUT needs members that a PATCH does not.
      const base = method === 'PUT' ? matrix[operation.id]?.ask?.(target, n).body : {}
      const fixed = Object.keys({ ...shown, ...(created && propertiesOf(created)) })
      for (const member of fixed.filter((name) => !accepted.includes(name))) {
        const body = { ...(base as object), [member]: 'x' }
        const answer = await ask(method, pathOf(operation, target), { body })
        t.equal(answer.status, 400, `${operation.id} ${member}`)
        const said = answer.body.errors.find(({ field }: { field: string }) => field === member)?.detail
        const isGiven = created && member in propertiesOf(created)
        t.match(
          said,
          isGiven ? /^never changes$/ : /^never changes$|is set by the service/,
          `${operation.id} ${member}`,
        )
        walked += 1
      }
    }
    t.ok(walked > 60, String(walked))
  },
)

t.test('malformed text gets a description of the right form', async (t) => {
  const scope = /printable ASCII characters without spaces/
  await check(t, [
    ['POST', tokens, { name: '   ', type: 'api' }, 'name', /must not be blank|is required/],
    ['POST', tokens, { name: 'A', type: 'api', scopes: ['a b'] }, 'scopes.0', scope],
    ['POST', '/v1/token-types', { name: 'Nö', prefix: 'x' }, 'name', /2 to 50 lower-case letters, digits/],
    [
      'POST',
      '/v1/token-types',
      { name: 'no', prefix: 'X-' },
      'prefix',
      /lower-case letters, digits and single/,
    ],
    [
      'POST',
      '/v1/token-types',
      { name: 'no', prefix: 'x', endpoint: 'x' },
      'endpoint',
      /an http or https URL/,
    ],
  ])
})

t.test('every pattern in the document is described in words', async (t) => {
  const { body: document } = await ask('GET', '/openapi.json')
  const found: string[] = []
  const visit = (value: unknown, path: string[]) => {
    if (typeof value !== 'object' || value === null) return
    const { pattern, 'x-pattern-message': message } = value as Record<string, unknown>
    if (typeof pattern === 'string') {
      found.push(path.join('.'))
      t.match(message, /^(must|is not) .{8,}/, path.join('.'))
    }
    for (const [name, member] of Object.entries(value)) visit(member, [...path, name])
  }
  visit(document, [])
  t.ok(found.length > 5)
})

t.test('a rejected scope comes with the scopes that the type allows', async (t) => {
  const body = { name: 'few', prefix: 'few', allowed_scopes: ['um:read', 'um:write', 'um:bulk'] }
  await ask('POST', '/v1/token-types', { body })
  const many = Array.from({ length: 30 }, (_, n) => `scope-${n}`)
  await ask('POST', '/v1/token-types', { body: { name: 'many', prefix: 'many', allowed_scopes: many } })
  await check(t, [
    [
      'POST',
      tokens,
      { name: 'A', type: 'few', scopes: ['um:all'] },
      'scopes',
      /can have um:read, um:write, um:bulk$/,
    ],
    ['POST', tokens, { name: 'A', type: 'many', scopes: ['um:all'] }, 'scopes', /scope-19 and 10 more$/],
    [
      'POST',
      '/v1/token-types',
      { ...body, name: 'bad', default_scopes: ['x'] },
      'default_scopes',
      /um:read, um:write/,
    ],
  ])
  await ask('PUT', '/v1/organizations/default/policy', { body: { allowed_types: ['few', 'mcp'] } })
  await check(t, [['POST', tokens, { name: 'A', type: 'api' }, 'type', /it allows few, mcp$/]])
  await ask('PUT', '/v1/organizations/default/policy', { body: {} })
})

t.test('a misspelled member gets a suggestion', async (t) => {
  await check(t, [
    [
      'POST',
      tokens,
      { name: 'A', type: 'api', lifetime_day: 7 },
      'lifetime_day',
      /did you mean lifetime_days\?/,
    ],
    ['POST', tokens, { nmae: 'A', type: 'api' }, 'nmae', /did you mean name\?/],
    ['POST', tokens, { name: 'A', type: 'api', coment: 'B' }, 'coment', /did you mean comment\?/],
    [
      'POST',
      tokens,
      { name: 'A', type: 'api', owner: { subjekt: 'a' } },
      'owner.subjekt',
      /did you mean subject\?/,
    ],
    ['GET', `${tokens}?statuss=active`, undefined, 'statuss', /did you mean status\?/],
    ['POST', tokens, { name: 'A', type: 'api', colour: 'red' }, 'colour', /^is not known here$/],
    [
      'POST',
      tokens,
      { name: 'A', type: 'api', ['x'.repeat(60_000)]: 1 },
      'x'.repeat(100),
      /^is not known here$/,
    ],
  ])
})

t.test('one edit apart are texts that differ by one letter or by two that are swapped', async (t) => {
  const apart: [string, string][] = [
    ['name', 'nam'],
    ['name', 'ame'],
    ['name', 'namee'],
    ['name', 'nome'],
    ['name', 'nmae'],
    ['name', 'naem'],
    ['a', ''],
  ]
  for (const [one, other] of apart) {
    t.equal(isOneEditApart(one, other), true, `${one} ${other}`)
    t.equal(isOneEditApart(other, one), true, `${other} ${one}`)
  }
  const not: [string, string][] = [
    ['name', 'name'],
    ['name', 'na'],
    ['name', 'eman'],
    ['name', 'nmea'],
    ['', ''],
  ]
  for (const [one, other] of not) t.equal(isOneEditApart(one, other), false, `${one} ${other}`)
})

t.test('RFC 9110 §15.5.14: every 413 names the limit', async (t) => {
  const { body: document } = await ask('GET', '/openapi.json')
  const seen = new Map<string, string>()
  for (const [path, item] of Object.entries<Record<string, { responses: object }>>(document.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (!('413' in (operation.responses ?? {}))) continue
      const url = path.replace(/\{[^}]*\}/g, '019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d')
      const isForm = isDeepStrictEqual(Object.keys((operation as any).requestBody?.content ?? {}), [
        'application/x-www-form-urlencoded',
      ])
      const headers = { 'content-type': isForm ? 'application/x-www-form-urlencoded' : 'application/json' }
      const answer = await ask(method.toUpperCase(), url, { headers, body: 'x'.repeat(3 * 1024 * 1024) })
      if (answer.status !== 413) continue
      seen.set(`${method} ${path}`, answer.text)
      t.match(answer.text, /larger than the (64 KiB|1 MiB|2 MiB) that are accepted/, `${method} ${path}`)
    }
  }
  t.ok(seen.size > 15, String(seen.size))
})

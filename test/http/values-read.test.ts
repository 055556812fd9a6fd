import t from 'tap'
import { Secret } from '../../src/shared/secret.ts'
import { staticTokenId } from '../../src/tokens/static-secret/static-secret.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld } from '../support/world.ts'
import { type Operation, operationsOf } from './contract.ts'
import { makeTarget, matrix, type Row } from './matrix.ts'

// A kind of value is read alike wherever it occurs. The places come from the OpenAPI document, so that new ones are
// covered.
const text = 'environment-secret-of-the-table-of-values-read'
recordSecret(text)
const world = await createWorld(t, { staticSecret: { secret: new Secret(text), organization: 'default' } })
const { ask } = world
// Security events are rejected before their path is looked at, unless they are signed: test/signals/push.test.ts.
const operations = (await operationsOf(world.app)).filter(({ path }) => !path.startsWith('/ssf/'))
const target = await makeTarget(world)
const { id: organizationId } = (await ask('GET', '/v1/organizations/default')).body

const ours: Record<string, string> = { ...target, token: target.token.id, subject: 'u-1', code: 'not_found' }

function urlOf({ path }: Operation, given: Record<string, string> = {}): string {
  return path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(given[name] ?? ours[name] ?? ''))
}

let requests = 0
const contentOf = ({ id }: Operation) => matrix[id]?.ask?.(target, 1000 + requests++) ?? {}

/** The names of parameters for which `has` holds, each with its operation. */
function places(where: 'path' | 'query', has: (schema: any) => boolean) {
  return operations.flatMap((operation) =>
    operation.parameters
      .filter((parameter) => parameter.in === where && has(parameter.schema))
      .map(({ name }) => ({ operation, name })),
  )
}

const notInstants = [
  ['an offset that leads to the year 10000', '9999-12-31T23:59:59-01:00'],
  ['an offset that leads to the year 0', '0001-01-01T00:00:00+00:01'],
  ['the year 0', '0000-06-01T00:00:00Z'],
  ['five digits of year', '10000-01-01T00:00:00Z'],
  ['a signed year', '+275760-09-13T00:00:00.000Z'],
  ['a leap second', '2016-12-31T23:59:60Z'],
  ['a leap second elsewhere', '2017-01-01T00:59:60+01:00'],
  ['24:00', '2026-03-01T24:00:00Z'],
  ['30 February', '2100-02-30T00:00:00Z'],
  ['29 February of a year that has none', '2100-02-29T00:00:00Z'],
  ['month 13', '2026-13-01T00:00:00Z'],
  ['day 0', '2026-03-00T00:00:00Z'],
  ['an offset of a day', '2026-03-01T00:00:00+24:00'],
  ['an offset without a colon', '2026-03-01T00:00:00+0100'],
  ['an offset of hours', '2026-03-01T00:00:00+01'],
  ['no offset', '2026-03-01T00:00:00'],
  ['a space', '2026-03-01 00:00:00Z'],
  ['a line feed', '2026-03-01\n00:00:00Z'],
  ['a date', '2026-03-01'],
  ['no seconds', '2026-03-01T00:00Z'],
  ['a point without a fraction', '2026-03-01T00:00:00.Z'],
  ['a comma', '2026-03-01T00:00:00,5Z'],
  ['a number', '1772323200'],
  ['words', 'Sun, 01 Mar 2026 00:00:00 GMT'],
  ['nothing', ''],
] as const

const instants = [
  ['2100-02-28T00:00:00Z', '2100-02-28T00:00:00.000Z'],
  ['2104-02-29t23:59:59z', '2104-02-29T23:59:59.000Z'],
  ['2100-01-01T00:30:00.5+01:00', '2099-12-31T23:30:00.500Z'],
  ['2100-01-01T00:00:00-00:00', '2100-01-01T00:00:00.000Z'],
  ['9999-12-31T23:59:59.999999999Z', '9999-12-31T23:59:59.999Z'],
  ['9999-12-31T22:59:59-01:00', '9999-12-31T23:59:59.000Z'],
] as const

const isInstant = ({ format }: any) => format === 'date-time'
const isId = ({ format }: any) => format === 'uuid'

t.test('RFC 3339: an instant in a query is accepted, or rejected by name', async (t) => {
  const found = places('query', isInstant)
  t.ok(found.length >= 10, 'of lists of tokens and of the change log')
  for (const { operation, name } of found) {
    const at = (value: string) => ask('GET', `${urlOf(operation)}?${new URLSearchParams({ [name]: value })}`)
    for (const [what, value] of notInstants)
      t.match(
        await at(value),
        { status: 400, body: { errors: [{ in: 'query', field: name, detail: /RFC 3339/ }] } },
        `${operation.id} ${name}: ${what}`,
      )
    for (const [value] of [...instants, ['0001-01-01T00:00:00Z'], ['0001-01-01T01:00:00+01:00']] as const)
      t.equal((await at(value)).status, 200, `${operation.id} ${name}: ${value}`)
  }
})

t.test('an instant in a body is accepted, or rejected by name', async (t) => {
  const found = operations.flatMap((operation) =>
    Object.entries<any>(operation.body?.schema.properties ?? {})
      .filter(([, schema]) => isInstant(schema))
      .map(([name]) => ({ operation, name })),
  )
  t.same(
    found.map(({ operation, name }) => `${operation.id} ${name}`),
    [
      ...[
        'rotateToken expires_at',
        'rotateSelf expires_at',
        'createToken not_before',
        'createToken expires_at',
      ],
      ...['replayWebhookDeliveries since', 'replayWebhookDeliveries until'],
    ],
  )
  // rotateSelf has the body of rotateToken, and would rotate the token that the test uses.
  for (const { operation, name } of found.filter(({ operation }) => operation.id !== 'rotateSelf')) {
    const { ok: status } = matrix[operation.id] as Row
    const at = (value: string, more: object = {}) =>
      ask(operation.method, urlOf(operation), {
        body: { ...(contentOf(operation).body as object), ...more, [name]: value },
      })
    // Forms send '' for what is not given.
    const rejected = notInstants.filter(([, value]) => value !== '')
    for (const [what, value] of rejected)
      t.match(
        await at(value),
        { status: 400, body: { errors: [{ in: 'body', field: name, detail: /RFC 3339/ }] } },
        `${name}: ${what}`,
      )
    const isShown = operation.id !== 'replayWebhookDeliveries'
    const lasting = name === 'not_before' ? { expires_at: null } : {}
    for (const [value, meant] of instants)
      t.match(
        await at(value, lasting),
        { status, body: isShown ? { [name]: meant } : {} },
        `${name}: ${value}`,
      )
  }
})

t.test('the policy turns the farthest instants into valid instants', async (t) => {
  for (const body of [
    { name: 'Longest', type: 'api', lifetime_days: 36_525 },
    { name: 'Last', type: 'api', expires_at: '9999-12-31T23:59:59.999Z' },
  ]) {
    const made = await ask('POST', '/v1/organizations/default/tokens', { body })
    t.equal(made.status, 201)
    for (const sort of ['expires_at', '-expires_at']) {
      let url: string | undefined = `/v1/organizations/default/tokens?limit=1&sort=${sort}`
      const seen: string[] = []
      while (url) {
        const { status, body, headers } = await ask('GET', url)
        t.equal(status, 200)
        seen.push(...body.items.map((item: any) => item.id))
        url = /<([^>]+)>/.exec(headers.link ?? '')?.[1]
      }
      t.ok(seen.includes(made.body.id), `by a cursor, sorted by ${sort}`)
    }
    t.match(await world.introspect(made.body.secret), {
      active: true,
      exp: Math.floor(Date.parse(made.body.expires_at) / 1000),
    })
  }
})

const spellings = (id: string) =>
  [
    ['as a URN', `urn:uuid:${id}`],
    ['as a URN in capitals', `URN:UUID:${id}`],
    ['in braces', `{${id}}`],
    ['without dashes', id.replaceAll('-', '')],
    ['with a dash elsewhere', id.replace(/^(.{8})-(.)/, '$1$2-')],
    ['with a space', `${id} `],
    ['with a line feed', `${id}\n`],
    ['with a digit missing', id.slice(0, -1)],
    ['with another digit', `${id}0`],
    ['with digits of another script', id.replace(/\d/g, '٣')],
  ] as const

t.test('RFC 9562: a malformed id in a path is rejected by name', async (t) => {
  const found = places('path', isId)
  t.ok(found.length >= 11)
  for (const { operation, name } of found)
    for (const [how, spelling] of spellings(ours[name] ?? ''))
      t.match(
        await ask(operation.method, urlOf(operation, { [name]: spelling }), contentOf(operation)),
        {
          status: 400,
          body: {
            errors: [
              {
                in: 'path',
                field: name,
                detail: 'must be a UUID, such as 019aa0c4-7c1e-7d43-9f53-0b8f1d2b3c4d',
              },
            ],
          },
        },
        `${operation.id} ${name} ${how}`,
      )
})

t.test('an unknown id in a path is a 404, in upper case too', async (t) => {
  for (const { operation, name } of places('path', isId))
    for (const id of ['00000000-0000-0000-0000-00000000000A', 'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'])
      for (const spelling of [id, id.toLowerCase()])
        t.equal(
          (await ask(operation.method, urlOf(operation, { [name]: spelling }), contentOf(operation))).status,
          404,
          `${operation.id} ${spelling}`,
        )
})

t.test('an organization is found by its key, in any case, and its id only', async (t) => {
  const found = operations.filter(({ path }) => path.includes('{organization}'))
  t.ok(found.length >= 20)
  for (const operation of found) {
    const request = (organization: string) =>
      ask(operation.method, urlOf(operation, { organization }), contentOf(operation))
    for (const [how, spelling] of spellings(organizationId)) {
      const { status } = await request(spelling)
      // Path parameters longer than any key or id are rejected for their length.
      t.equal(status, spelling.length > 64 ? 400 : 404, `${operation.id} ${how}`)
    }
  }
})

t.test('an id in upper case is the same id', async (t) => {
  const reads = operations.filter(
    ({ method, path }) => method === 'GET' && /\{(organization|token|issuer|list)\}/.test(path),
  )
  const capitals = (id: string) => id.toUpperCase()
  await world.ask(
    'PUT',
    `/v1/organizations/default/tokens/${(await world.issue({ type: 'management', scopes: ['tokens:read'] })).id}/client-keys`,
    { body: { jwks_uri: 'https://other.example/jwks.json' } },
  )
  for (const operation of reads) {
    const lower = await ask('GET', urlOf(operation, { organization: organizationId }))
    const upper = await ask(
      'GET',
      urlOf(operation, {
        organization: capitals(organizationId),
        token: capitals(target.token.id),
        issuer: capitals(target.issuer),
        list: capitals(target.list),
      }),
    )
    const { status, body } = upper
    delete lower.body?.request_id
    delete body?.request_id
    t.same([status, body], [lower.status, lower.body], operation.id)
  }
  const fixed = `/v1/organizations/default/tokens/${staticTokenId(organizationId).toUpperCase()}`
  t.match(await ask('GET', fixed), { status: 200, body: { read_only: true } }, 'that of AUTH_SECRET too')
})

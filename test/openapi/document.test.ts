import { readFile } from 'node:fs/promises'
import t from 'tap'
import { featureOf, layerOf, modules } from '../architecture/modules.ts'
import { operationsOf } from '../http/contract.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const operations = await operationsOf(world.app)
const document = world.app.swagger() as any

t.test('openapi/openapi.json is what the code generates: renew it with `npm run openapi`', async (t) => {
  const file = new URL('../../openapi/openapi.json', import.meta.url)
  t.same(JSON.parse(await readFile(file, 'utf8')), document)
})

t.test('the service serves its own document', async (t) => {
  const answer = await world.ask('GET', '/openapi.json', { token: '' })
  t.match(answer.headers['content-type'], /^application\/json/)
  t.same(answer.body, document)
})

t.test('every operation has an id, a summary and one described tag', async (t) => {
  const explained = document.tags.map(({ name }: { name: string }) => name)
  const ids = operations.map(({ id }) => id)
  t.same([...new Set(ids)], ids, 'ids are unique')
  for (const { id, method, path, definition } of operations) {
    t.match(id, /^[a-z][A-Za-z]+$/, `${method} ${path}`)
    t.match(definition.summary, /^[A-Z].{8,}[^.]$/, id)
    t.equal(definition.tags.length, 1, id)
    t.ok(explained.includes(definition.tags[0]), id)
  }
})

t.test('the id of an operation is the name of its function', async (t) => {
  for (const [folder, tag] of [
    ['tokens', 'Tokens'],
    ['owners', 'Owners'],
    ['token-types', 'Token types'],
    ['organizations', 'Organizations'],
    ['keys', 'Signing keys'],
    ['issuers', 'Sign-in'],
  ]) {
    const files = modules.filter((module) => featureOf(module) === folder && layerOf(module) === 'domain')
    const domain = Object.assign({}, ...(await Promise.all(files.map((file) => import(`../../${file}`)))))
    const tagged = operations.filter(({ definition }) => definition.tags.includes(tag))
    t.ok(tagged.length > 0)
    for (const { id } of tagged) {
      // One function does both.
      const name = id.replace(/^(?:suspend|resume)(.+)$/, 'set$1Suspended')
      t.type(domain[name], 'function', id)
    }
  }
})

t.test('every operation says which credentials it takes', async (t) => {
  t.same(document.security, [{ bearer: [] }])
  for (const { id, path, responses, definition } of operations) {
    const expected = /^\/(v1|scim\/v2)\//.test(path) ? undefined : (elsewhere[path] ?? [])
    t.same(definition.security, expected, id)
    t.equal('401' in responses, expected?.length !== 0, `${id} is 401 without one`)
  }
})

const both = [{ bearer: [] }, { basic: [] }]
const elsewhere: Record<string, object[]> = {
  '/introspect': [...both, { privateKeyJwt: [] }],
  '/introspect/batch': both,
  '/revoke': [...both, { privateKeyJwt: [] }],
  '/verify': [{ gateway: [] }],
}

t.test('every status has a description of its own and a schema', async (t) => {
  for (const { id, responses } of operations) {
    for (const [status, response] of Object.entries<any>(responses)) {
      t.match(response.description, /^(?!Default Response).{4,}$/, `${id} ${status}`)
      const empty =
        ['204', '304'].includes(status) ||
        (['revokeBySecret', 'verify', 'receiveSecurityEvent'].includes(id) && Number(status) < 300)
      const schemas = Object.values<any>(response.content ?? {}).map(({ schema }) => schema)
      // Introspection has two response formats (RFC 9701).
      const forms = id === 'introspect' && status === '200' ? 2 : 1
      t.equal(schemas.length, empty ? 0 : forms, `${id} ${status}`)
      for (const schema of schemas) t.ok(schema.$ref ?? schema.type, `${id} ${status}`)
    }
  }
})

t.test('errors are problems (RFC 9457), and at the protocol endpoints those of RFC 6749 §5.2', async (t) => {
  for (const { id, path, responses } of operations) {
    const protocol = /^\/(introspect(\/batch)?|revoke)$/.test(path)
    const [type, name] = protocol
      ? ['application/json', 'OAuthError']
      : /^\/scim\//.test(path)
        ? ['application/scim+json', 'ScimError']
        : /^\/ssf\//.test(path)
          ? ['application/json', 'SecurityEventError']
          : ['application/problem+json', 'Problem']
    for (const [status, { content }] of Object.entries<any>(responses)) {
      if (Number(status) < 400) continue
      t.same(Object.keys(content), [type], `${id} ${status}`)
      t.same(content[String(type)].schema, { $ref: `#/components/schemas/${name}` }, `${id} ${status}`)
    }
  }
})

t.test('response headers are documented', async (t) => {
  const headersOf = (id: string, status: number) =>
    Object.keys(operations.find((operation) => operation.id === id)?.responses[status]?.headers ?? {})
  t.same(headersOf('createToken', 201), ['ETag', 'Location', 'Idempotency-Replayed'])
  t.same(headersOf('getToken', 200), ['ETag'])
  t.same(headersOf('listTokens', 200), ['Link'])
  for (const { id, responses } of operations) {
    for (const status of [401, 403].filter((status) => status in responses)) {
      t.same(headersOf(id, status), ['WWW-Authenticate'], `${id} ${status}`)
    }
    if ('503' in responses) t.same(headersOf(id, 503), ['Retry-After'], id)
  }
})

t.test('optional query parameters, headers and bodies are not marked as required', async (t) => {
  for (const { id, parameters, body, definition } of operations) {
    for (const { name, in: where, required } of parameters)
      t.equal(required ?? false, where === 'path' || /^github-/.test(name), `${id} ${name}`)
    if (body)
      t.equal(
        definition.requestBody.required,
        !/^(revoke(Token|Self|OwnerTokens)|rotate(Token|Self|SigningKey))$/.test(id),
        id,
      )
  }
})

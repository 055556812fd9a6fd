import type { Ajv2020 } from 'ajv/dist/2020.js'
import t, { type Test } from 'tap'
import { createAjv, operationsOf } from '../http/contract.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const operations = await operationsOf(world.app)
const document = world.app.swagger() as any
const components: [string, any][] = Object.entries(document.components.schemas)

t.test('every component has an example, and a description unless it is part of a request', async (t) => {
  const requests = operations.flatMap(({ body }) => body?.schema ?? [])
  for (const [name, schema] of components) {
    t.ok(schema.description || requests.includes(schema), name)
    t.ok(schema.examples?.length > 0, name)
  }
})

t.test('every example at any depth matches its schema', async (t) => {
  const ajv = createAjv()
  ajv.addSchema(document, 'document')
  const parameters = operations.flatMap((operation) => operation.parameters as any[])
  for (const { name, schema, example } of parameters) {
    if (example !== undefined) t.ok(ajv.validate(schema, example), `${name}: ${example}`)
  }
  for (const [name] of components) validateExamples(t, ajv, ['components', 'schemas', name])
})

/** Checks the examples of the schema at this path of the document, and of all schemas within it. */
function validateExamples(t: Test, ajv: Ajv2020, place: string[]): void {
  const value = place.reduce((value, key) => value[key], document)
  if (typeof value !== 'object' || value === null) return
  const isSchema = place.at(-2) !== 'examples' && Array.isArray(value.examples)
  for (const example of isSchema ? value.examples : []) {
    const validate = ajv.getSchema(`document#/${place.map(encodeURIComponent).join('/')}`)
    t.ok(
      validate?.(example),
      `${place.join('.')}: ${JSON.stringify(example)} ${ajv.errorsText(validate?.errors)}`,
    )
  }
  for (const key of Object.keys(value)) if (key !== 'examples') validateExamples(t, ajv, [...place, key])
}

t.test('the request examples work unchanged, also after many years', async (t) => {
  world.clock.now = new Date('2090-01-01T00:00:00Z')
  const { id: token } = await world.issue()
  const { id: server } = await world.issue({ type: 'management', scopes: ['tokens:introspect'] })
  const values: Record<string, string> = { organization: 'default', token, type: 'api', subject: 'u-4711' }
  let count = 0
  for (const { id, method, path, body } of operations) {
    // Of no use without the signature of GitHub, or of an issuer.
    if (!body || /^((revoke|rotate)Self|reportGithubLeaks|receiveSecurityEvent)$/.test(id)) continue
    const target: Record<string, string | undefined> = {
      ...values,
      ...(/ClientKeys$/.test(id) && { token: server }),
      ...(id === 'updateOrganizationTokenType' && { type: values.ownType }),
    }
    const url = path.replace(/\{(\w+)\}/g, (_match, name) => target[name] ?? '')
    for (const example of body.examples) {
      const answer = await world.ask(
        method,
        url,
        /form/.test(body.type)
          ? { form: example }
          : { body: example, headers: { 'content-type': body.type } },
      )
      t.ok(answer.status < 300, `${id}: ${answer.text}`)
      if (id === 'createTrustedIssuer') values.issuer = answer.body.id
      if (id === 'createWebhook') values.webhook = answer.body.id
      if (id === 'createScimUser') values.user = answer.body.id
      if (id === 'createOrganizationTokenType') values.ownType = answer.body.name
      count++
    }
  }
  t.ok(count >= 10)
})

t.test('the reference prefills no optional parameters', async (t) => {
  for (const { id, parameters } of operations)
    for (const { name, required, schema, ...parameter } of parameters as any[]) {
      const given = [parameter.example, parameter.examples, schema.examples, schema.example]
      if (!required)
        t.same(
          given.filter((one) => one !== undefined),
          [],
          `${id} ${name}`,
        )
    }
  const key = operations
    .find(({ id }) => id === 'createToken')
    ?.parameters.find(({ in: where }) => where === 'header')
  t.match(key, {
    schema: { minLength: 22, maxLength: 512 },
    description: /Example: `"[0-9a-f-]{36}"`$/,
  } as object)
})

t.test('every problem response has an example for each code', async (t) => {
  const ajv = createAjv()
  ajv.addSchema(document, 'document')
  const isProblem = ajv.getSchema('document#/components/schemas/Problem')
  for (const { id, responses } of operations)
    for (const [status, { content }] of Object.entries<any>(responses)) {
      const { examples } = content?.['application/problem+json'] ?? {}
      if (!content?.['application/problem+json']) continue
      t.ok(Object.keys(examples).length > 0, `${id} ${status}`)
      for (const code of Object.keys(examples)) {
        const { value } = document.components.examples[code]
        t.ok(isProblem?.(value), `${id} ${status} ${code}`)
        t.match(value, { status: Number(status), code })
      }
    }
})

t.test('private_key_jwt is a security alternative for client authentication', async (t) => {
  for (const { id, definition } of operations)
    if (id === 'introspect' || id === 'revokeBySecret')
      t.same(definition.security, [{ bearer: [] }, { basic: [] }, { privateKeyJwt: [] }], id)
})

t.test('every OAuth error has examples for the codes of its status', async (t) => {
  const ajv = createAjv()
  ajv.addSchema(document, 'document')
  const isOAuthError = ajv.getSchema('document#/components/schemas/OAuthError')
  const protocol = operations.filter(({ path }) => /^\/(introspect(\/batch)?|revoke)$/.test(path))
  t.equal(protocol.length, 3)
  for (const { id, responses } of protocol)
    for (const [status, { content }] of Object.entries<any>(responses).filter(
      ([status]) => status >= '400',
    )) {
      const examples = Object.values<any>(content['application/json'].examples ?? {})
      t.ok(examples.length > 0, `${id} ${status}`)
      for (const { summary, value } of examples) t.ok(isOAuthError?.(value), `${id} ${status} ${summary}`)
    }
  const errorsOf = (id: string, status: number) => {
    const responses: any = protocol.find((operation) => operation.id === id)?.responses
    return Object.values<any>(responses[status].content['application/json'].examples).map(
      ({ value }) => value.error,
    )
  }
  t.ok(errorsOf('introspect', 401).includes('insufficient_scope'), 'RFC 7662 §2.3')
  t.same(errorsOf('revokeBySecret', 403), ['insufficient_scope'])
  t.ok(errorsOf('revokeBySecret', 400).includes('unsupported_token_type'), 'RFC 7009 §2.2.1')
})

import { readFileSync } from 'node:fs'
import t from 'tap'
import { flawOfJson } from '../../src/shared/json.ts'
import { createWorld } from '../support/world.ts'

const document = JSON.parse(readFileSync(new URL('../../openapi/openapi.json', import.meta.url), 'utf8'))
const world = await createWorld(t)

const levels = 20_000
const pathological = {
  'nested arrays': { text: `{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`, field: /^a(\.0){15}$/ },
  'nested objects': { text: `${'{"a":'.repeat(9_000)}1${'}'.repeat(9_000)}`, field: /^a(\.a){15}$/ },
  'thousands of values': { text: `{"a":[${'0,'.repeat(20_000)}0]}`, field: /^a$/ },
  'thousands of members': { text: `{${Array.from({ length: 6_000 }, (_, i) => `"${i}":0`)}}`, field: /^$/ },
}

type Operation = { requestBody?: { content: Record<string, unknown> } }

t.test('every operation rejects JSON that is too deep or too large, and says where', async (t) => {
  let operations = 0
  for (const [path, methods] of Object.entries<Record<string, Operation>>(document.paths)) {
    // Only with GitHub's signature, its body is parsed.
    if (path === '/leaks/github') continue
    for (const [method, { requestBody }] of Object.entries(methods)) {
      for (const type of Object.keys(requestBody?.content ?? {}).filter((one) => /\bjson$/.test(one))) {
        operations += 1
        const url = path
          .replace('{organization}', 'default')
          .replace(/\{\w+\}/g, world.clock.now.getTime().toString())
        for (const [name, { text, field }] of Object.entries(pathological)) {
          const answer = await world.ask(method.toUpperCase(), url, {
            body: text,
            headers: { 'content-type': type },
          })
          t.equal(answer.status, 400, `${method} ${path} ${type} ${name}`)
          // The protocol endpoints have their own error format.
          if (answer.body.errors) t.match(answer.body.errors, [{ in: 'body', field }], `${path} ${name}`)
          t.ok(answer.text.length < 10_000, 'the answer is short')
        }
      }
    }
  }
  t.ok(operations > 10)
})

t.test('an error lists a limited number of invalid members', async (t) => {
  const body = Object.fromEntries(Array.from({ length: 4_000 }, (_, i) => [`member-${i}`, 0]))
  const answer = await world.ask('POST', '/v1/organizations', { body })
  t.equal(answer.status, 400)
  t.equal(answer.body.errors.length, 20)
  const long = await world.ask('POST', '/v1/organizations', { body: { ['x'.repeat(60_000)]: 0 } })
  t.equal(long.status, 400)
  t.ok(long.text.length < 2_000)
})

t.test('a query with thousands of parameters is rejected', async (t) => {
  const query = Array.from({ length: 2_000 }, (_, i) => `p${i}=1`).join('&')
  const answer = await world.ask('GET', `/v1/organizations/default/tokens?${query}`)
  t.match(answer, { status: 400, body: { errors: [{ in: 'query', field: 'p0' }] } })
  t.ok(answer.text.length < 10_000)
})

t.test('a form with thousands of parameters is rejected', async (t) => {
  const form = `token=x&${Array.from({ length: 1_000 }, (_, i) => `p${i}=`).join('&')}`
  for (const url of ['/introspect', '/revoke'])
    t.match(await world.ask('POST', url, { form }), { status: 400, body: { error: 'invalid_request' } }, url)
})

t.test('header fields with thousands of elements are accepted or rejected, and break nothing', async (t) => {
  const many = (one: string) => Array.from({ length: 1_000 }, () => one).join(',')
  const { id } = await world.issue()
  const url = `/v1/organizations/default/tokens/${id}`
  for (const [name, value] of [
    ['accept', many('a/b;q=0.5')],
    ['x-forwarded-for', many('192.0.2.1')],
    ['if-none-match', many('"x"')],
    ['if-match', many('"9"')],
  ] as const) {
    const { status } = await world.ask('PATCH', url, { headers: { [name]: value }, body: { comment: null } })
    t.ok(status < 500, `${name}: ${status}`)
  }
})

t.test('JSON within the bounds passes, and the check does not recurse', async (t) => {
  t.equal(flawOfJson({ a: [{ b: [1, 'text', null] }] }), undefined)
  t.equal(flawOfJson(Array.from({ length: 5_000 }, () => 0)), undefined)
  t.match(flawOfJson(JSON.parse('['.repeat(1_000_000) + ']'.repeat(1_000_000))), { detail: /levels deep/ })
})

t.test('no list is checked for uniqueness by pairwise comparison', async (t) => {
  // Ajv compares scalars of a known type by a table, and everything else pairwise.
  const visit = (schema: any, path: string): void => {
    if (typeof schema !== 'object' || schema === null) return
    if (schema.uniqueItems) t.match(schema.items?.type, /^(string|integer|number|boolean)$/, path)
    for (const [name, member] of Object.entries(schema)) visit(member, `${path}/${name}`)
  }
  visit(document, '#')
})

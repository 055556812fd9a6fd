import { gzipSync } from 'node:zlib'
import type { InjectOptions } from 'fastify'
import t from 'tap'
import { createWorld } from '../support/world.ts'
import { type Operation, operationsOf } from './contract.ts'
import { makeSpare, matrix, pathOf, type Target } from './matrix.ts'

// All routes read bodies alike. The routes come from the OpenAPI document, so that new ones are covered.
const world = await createWorld(t)
// Reads its body only with GitHub's signature: test/leaks/github.test.ts.
const operations = (await operationsOf(world.app)).filter(
  ({ method, id }) => method !== 'GET' && id !== 'reportGithubLeaks',
)
const introspect = operations.find(({ id }) => id === 'introspect') as Operation
const withBody = operations.filter(({ body }) => body)
const required = withBody.filter(({ definition }) => definition.requestBody.required)
const optional = operations.filter((operation) => !required.includes(operation))

type Sent = { target?: Target; headers?: Record<string, string>; payload?: InjectOptions['payload'] }

let made = 0
const kept = new Map<string, Target>()

/** A new target only if a success uses it up, or another target replaces it. */
async function targetOf({ id }: Operation): Promise<Target> {
  const lasts = !/delete|suspend|resume|retire|revokeSelf|cancelRotation|endSession|Webhook/.test(id)
  const target = (lasts && kept.get(id)) || (await makeSpare(world, id, made++))
  kept.set(id, target)
  return target
}

/** Sends these bytes to the operation's target, and returns the response. */
async function send(operation: Operation, { target, headers, payload }: Sent) {
  const found = target ?? (await targetOf(operation))
  // The administrator of the platform provisions its users.
  const chosen = { ...found, user: found.usersOfPlatform }
  const own: Record<string, () => Promise<string>> = {
    revokeSelf: async () => chosen.token.secret,
    rotateSelf: () => world.manager(['tokens:write']),
  }
  const caller = (await own[operation.id]?.()) ?? world.admin
  const answer = await world.app.inject({
    method: operation.method as 'POST',
    url: pathOf(operation, chosen),
    headers: { authorization: `Bearer ${caller}`, ...headers },
    ...(payload !== undefined && { payload }),
  })
  if (operation.id === 'rotateSigningKey' && answer.statusCode === 201)
    await world.ask('POST', '/v1/signing-keys/rotate', { body: { immediately: true } })
  const isJson = /\bjson\b/.test(String(answer.headers['content-type']))
  const body = isJson ? answer.json() : undefined
  return { status: answer.statusCode, headers: answer.headers, body }
}

const isProtocol = ({ path }: Operation) => /^\/(introspect|revoke)/.test(path)

/** The body from the access matrix, as text. */
async function good(operation: Operation): Promise<Sent & { type: string; text: string }> {
  const target = await targetOf(operation)
  const { body = {}, form } = matrix[operation.id]?.ask?.(target, 5000 + made++) ?? {}
  const text = form ? new URLSearchParams(form).toString() : JSON.stringify(body)
  return { target, type: operation.body?.type ?? 'application/json', text }
}

function refusal(operation: Operation, code: string, what: RegExp | string) {
  if (operation.path.startsWith('/scim/')) return { detail: what }
  if (operation.path.startsWith('/ssf/')) return { err: String, description: what }
  if (!isProtocol(operation)) return { code, errors: [{ detail: what }] }
  return { error: 'invalid_request', error_description: what, request_id: String }
}

t.test(
  'an empty body counts as no body, whatever the Content-Type and however its length is given',
  async (t) => {
    t.ok(optional.length >= 12, 'deletions, revocations, suspensions')
    for (const operation of optional)
      for (const [type, length] of [
        ['application/json', {}],
        ['application/json; charset=utf-8', { 'content-length': '0' }],
        ['text/plain', { 'content-length': '0' }],
        ['x', {}],
      ] as const) {
        const { status, body } = await send(operation, { headers: { 'content-type': type, ...length } })
        t.equal(status, matrix[operation.id]?.ok, `${operation.id} ${type}: ${JSON.stringify(body)}`)
      }
    for (const operation of optional) {
      const headers = { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }
      const { status } = await send(operation, { headers, payload: '' })
      t.equal(status, matrix[operation.id]?.ok, `${operation.id} in chunks`)
    }
  },
)

t.test('if a body is required, an empty one is a 400 that names the body', async (t) => {
  t.ok(required.length >= 12)
  for (const operation of required) {
    const type = operation.body?.type ?? ''
    const length = { 'content-length': '0' }
    for (const headers of [
      {},
      { 'content-type': type },
      { 'content-type': 'text/plain', ...length },
      { 'content-type': type, 'transfer-encoding': 'chunked' },
    ]) {
      const { status, body } = await send(operation, { headers, payload: '' })
      t.equal(status, 400, `${operation.id} ${JSON.stringify(headers)}`)
      t.match(body.detail ?? body.error_description ?? body.description, /^body /, operation.id)
    }
  }
})

t.test('RFC 9110 §15.5.16: a body with a content coding is a 415 with Accept-Encoding', async (t) => {
  for (const operation of operations) {
    const { target, type, text } = await good(operation)
    for (const coding of ['gzip', 'GZIP', 'br', 'identity, gzip', 'x-of-tomorrow']) {
      const headers = { 'content-type': type, 'content-encoding': coding }
      // With or without a coding: the header field counts.
      for (const payload of [gzipSync(text), text]) {
        const answer = await send(operation, { target, headers, payload } as Sent)
        t.match(
          answer,
          { status: 415, headers: { 'accept-encoding': 'identity' } },
          `${operation.id} ${coding}`,
        )
        t.match(answer.body, refusal(operation, 'unsupported_media_type', /without a content coding/))
      }
    }
    for (const coding of ['identity', 'Identity', '']) {
      const { type, ...sent } = await good(operation)
      const headers = { 'content-type': type, 'content-encoding': coding }
      const answer = await send(operation, { ...sent, headers, payload: sent.text })
      t.equal(answer.status, matrix[operation.id]?.ok, `${operation.id} ${coding}: ${answer.body?.detail}`)
    }
  }
})

t.test('RFC 7694 §3: a 415 for another reason has no Accept-Encoding', async (t) => {
  for (const operation of operations) {
    const answer = await send(operation, { headers: { 'content-type': 'text/plain' }, payload: 'x' })
    t.equal(answer.status, 415, operation.id)
    t.equal(answer.headers['accept-encoding'], undefined)
  }
})

t.test('RFC 9110 §8.3: parameters, case and whitespace of a Content-Type do not matter', async (t) => {
  const variants = (type: string) => [
    `${type}; charset=utf-8`,
    `${type};charset="UTF-8"`,
    `${type} ; Charset=Utf-8`,
    `${type}\t;\tcharset=utf8`,
    `${type};version=1;charset=utf-8`,
    `${type};`,
    type.toUpperCase(),
  ]
  for (const operation of withBody)
    for (const variant of variants(operation.body?.type ?? '')) {
      const { target, text } = await good(operation)
      const answer = await send(operation, {
        target,
        headers: { 'content-type': variant },
        payload: text,
      } as Sent)
      t.equal(
        answer.status,
        matrix[operation.id]?.ok,
        `${operation.id} ${variant}: ${JSON.stringify(answer.body)}`,
      )
    }
})

t.test('a body in a charset other than UTF-8 is a 415', async (t) => {
  for (const operation of operations) {
    const { target, type, text } = await good(operation)
    for (const charset of ['iso-8859-1', 'UTF-16', '"windows-1252"', 'utf-8x']) {
      const headers = { 'content-type': `${type}; charset=${charset}` }
      const answer = await send(operation, { target, headers, payload: text } as Sent)
      t.equal(answer.status, 415, `${operation.id} ${charset}`)
      t.match(answer.body, refusal(operation, 'unsupported_media_type', /charset other than UTF-8/))
    }
  }
})

const notUtf8 = {
  'a byte that begins nothing': [0xff],
  latin1: [0xe9],
  'a sequence cut short': [0xf0, 0x9f, 0x8e],
  'an overlong NUL': [0xc0, 0x80],
  'a surrogate': [0xed, 0xa0, 0x80],
  'beyond U+10FFFF': [0xf4, 0x90, 0x80, 0x80],
}

t.test('RFC 8259 §8.1: a body that is not UTF-8 is a 400, and nothing of it is stored', async (t) => {
  // An import says it of each line (test/tokens/import/stream).
  for (const operation of operations.filter(({ id }) => id !== 'importTokens')) {
    const { target, type } = await good(operation)
    for (const [what, bytes] of Object.entries(notUtf8)) {
      const isForm = /form/.test(type)
      const [before, after] = isForm ? ['token=', ''] : ['{"name":"', '"}']
      const raw = Buffer.concat([Buffer.from(before), Buffer.from(bytes), Buffer.from(after)])
      const encoded = bytes.map((byte) => `%${byte.toString(16)}`).join('')
      for (const payload of isForm ? [raw, `token=${encoded}`, `more=${encoded.toUpperCase()}`] : [raw]) {
        const answer = await send(operation, { target, headers: { 'content-type': type }, payload } as Sent)
        t.equal(answer.status, 400, `${operation.id} ${what}`)
        t.match(
          answer.body.detail ?? answer.body.error_description ?? answer.body.description,
          'body is not valid UTF-8',
        )
      }
    }
  }
  const { rows } = await world.sql("select from tokens where name like '%\uFFFD%'")
  t.equal(rows.length, 0)
})

t.test('U+FFFD itself is ordinary text', async (t) => {
  const name = 'Replaced \uFFFD by hand'
  t.match(await world.ask('POST', '/v1/organizations/default/tokens', { body: { name, type: 'api' } }), {
    status: 201,
    body: { name },
  })
  for (const form of ['token=%EF%BF%BD', 'token=\uFFFD', 'token=%'])
    t.match(
      await send(introspect, { headers: { 'content-type': introspect.body?.type ?? '' }, payload: form }),
      { status: 200, body: { active: false } },
      form,
    )
})

import { request } from 'node:http'
import fc from 'fast-check'
import t from 'tap'
import { type PresentedOptions, presentedIn } from '../../src/authentication/presented-credential.ts'
import { AppError } from '../../src/shared/errors.ts'
import { createWorld } from '../support/world.ts'

const any: PresentedOptions = { basic: 'password', fields: ['x-deploy-personal-token'] }
const read = (headers: string[], options = any) => {
  const { secret, clientId } = presentedIn(headers, options)
  return { secret: secret.reveal(), ...(clientId !== undefined && { clientId }) }
}
const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
const codeOf = (headers: string[], options = any) => {
  try {
    return read(headers, options)
  } catch (error) {
    if (error instanceof AppError) return error.code
    throw error
  }
}

const base62 = fc.stringMatching(/^[a-z]{1,8}_[0-9A-Za-z]{36}$/)
const visible = fc.stringMatching(/^[\x21-\x7E]{1,60}$/)
const user = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll(':', ''))
const casing = (name: string) => fc.constantFrom(name, name.toLowerCase(), name.toUpperCase())
const padding = fc.stringMatching(/^ {1,3}$/)

t.test(
  'a token is read from Bearer, whatever the case of its name (RFC 6750 §2.1, RFC 9110 §11.1)',
  async (t) => {
    fc.assert(
      fc.property(
        base62,
        casing('Authorization'),
        casing('Bearer'),
        padding,
        (token, field, scheme, space) => {
          t.same(read(['Host', 'here', field, `${scheme}${space}${token}${space}`]), { secret: token })
        },
      ),
    )
  },
)

t.test('a token is read from HTTP Basic as the password, with any user name or none', async (t) => {
  fc.assert(
    fc.property(user, visible, casing('Basic'), (name, token, scheme) => {
      t.same(read(['authorization', basic(name, token).replace('Basic', scheme)]), { secret: token })
      t.same(read(['authorization', basic('', token)]), { secret: token })
    }),
  )
})

t.test('a token is read from configured header fields only', async (t) => {
  fc.assert(
    fc.property(visible, casing('X-Deploy-Personal-Token'), (token, field) => {
      t.same(read([field, token]), { secret: token })
      t.equal(codeOf([field, token], { basic: 'password', fields: [] }), 'unauthenticated')
    }),
  )
})

t.test('client id and secret are form-decoded (RFC 6749 §2.3.1)', async (t) => {
  const encode = (text: string) => new URLSearchParams({ '': text }).toString().slice(1)
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (clientId, secret) => {
      fc.pre(clientId.isWellFormed() && secret.isWellFormed())
      const header = basic(encode(clientId), encode(secret))
      t.same(read(['authorization', header], { basic: 'client', fields: [] }), { clientId, secret })
      t.equal(codeOf(['authorization', header], { basic: 'no', fields: [] }), 'unauthenticated')
    }),
  )
})

t.test('two credentials are rejected, even if they are equal (RFC 6750 §2)', async (t) => {
  const one = fc.oneof(
    base62.map((token) => ['Authorization', `Bearer ${token}`]),
    base62.map((token) => ['authorization', basic('', token)]),
    base62.map((token) => ['X-Deploy-Personal-Token', token]),
    fc.constant(['Authorization', 'Digest nonsense']),
  )
  fc.assert(
    fc.property(one, one, (first, second) => {
      t.equal(codeOf([...first, 'Accept', '*/*', ...second]), 'invalid_request')
      t.equal(codeOf([...first, ...first]), 'invalid_request')
    }),
  )
})

t.test('any other header value is rejected', async (t) => {
  fc.assert(
    fc.property(fc.string(), fc.constantFrom('', 'Bearer ', 'Basic '), (text, scheme) => {
      const result = codeOf(['authorization', `${scheme}${text}`])
      if (typeof result === 'string') t.equal(result, 'unauthenticated')
      else t.match(result.secret, /^[\x21-\x7E]+$/)
    }),
  )
  for (const value of [
    '',
    'Bearer',
    'Bearer a b',
    'Basic',
    'Basic ====',
    basic('user', ''),
    basic('user', 'a b'),
  ])
    t.equal(codeOf(['authorization', value]), 'unauthenticated', value)
  t.equal(codeOf([]), 'unauthenticated')
})

t.test('over HTTP, a second Authorization header is a 400', async (t) => {
  const world = await createWorld(t)
  const address = await world.app.listen({ port: 0, host: '127.0.0.1' })
  const twice = [`Bearer ${world.admin}`, 'Bearer another']
  for (const [authorization, status] of [
    [twice, 400],
    [twice.slice(0, 1), 200],
  ] as const) {
    const answered = await new Promise<number | undefined>((resolve, reject) => {
      const headers = ['Host', 'here', ...authorization.flatMap((value) => ['Authorization', value])]
      request(`${address}/v1/self`, { headers }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .on('error', reject)
        .end()
    })
    t.equal(answered, status)
  }
})

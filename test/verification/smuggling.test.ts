import { request } from 'node:http'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import t from 'tap'
import { createWorld } from '../support/world.ts'

const origin = 'https://console.example'
const verification = { fields: ['x-deploy-personal-token'], trustedNetworks: ['127.0.0.1'] }
const world = await createWorld(t, { verification, corsOrigins: [origin] })
const { secret } = await world.issue()
const other = await world.issue()
const address = await world.app.listen({ host: '127.0.0.1', port: 0 })
const { port } = new URL(address)
const bearer = ['Authorization', `Bearer ${secret}`]
const basic = ['Authorization', `Basic ${Buffer.from(`:${secret}`).toString('base64')}`]

async function send(headers: string[], path = '/verify', method = 'GET') {
  return new Promise<{ status: number | undefined; challenge: string | undefined; body: string }>(
    (resolve, reject) => {
      request(`${address}${path}`, { method, headers: ['Host', 'here', ...headers] }, async (response) => {
        const challenge = response.headers['www-authenticate']
        resolve({ status: response.statusCode, challenge, body: await text(response) })
      })
        .on('error', reject)
        .end()
    },
  )
}

/** Sends raw bytes, and returns what comes back until the connection is closed. */
async function raw(bytes: string): Promise<string> {
  const socket = connect(Number(port), '127.0.0.1')
  socket.write(bytes)
  return text(socket)
}

t.test('RFC 6750 §2: two credentials in one request are rejected, even if they are equal', async (t) => {
  const field = ['X-Deploy-Personal-Token', secret]
  for (const headers of [
    [...bearer, 'Authorization', `Bearer ${other.secret}`],
    [...bearer, ...bearer],
    [...bearer, ...basic],
    [...basic, ...bearer],
    [...bearer, ...field],
    [...field, ...basic],
    [...field, ...field],
    [...bearer, 'authorization', 'Digest nonsense'],
  ]) {
    const { status, challenge, body } = await send(headers)
    t.equal(status, 401, 'one that every gateway passes on')
    t.match(challenge, /^Bearer realm="counterfoil", error="invalid_request"/)
    t.match(JSON.parse(body), { code: 'ambiguous_credentials' })
  }
  t.equal((await send(bearer)).status, 200)
})

t.test(
  'RFC 6750 §2.3: a token in the URL of the original request is ignored, and rejected together with another',
  async (t) => {
    const query = `?access_token=${secret}`
    const originals = ['X-Original-URI', 'X-Original-URL', 'X-Forwarded-Uri']
    for (const name of originals)
      for (const value of [
        `/orders${query}`,
        `/orders?page=2&access_token=`,
        `/?access%5Ftoken=${secret}`,
        `https://api.example/${query}`,
      ])
        for (const headers of [[], bearer, basic]) {
          const { status, body } = await send([...headers, name, value])
          t.equal(status, 401, `${name}: ${value.slice(0, 25)}`)
          t.match(JSON.parse(body), {
            code: headers.length > 0 ? 'ambiguous_credentials' : 'unauthenticated',
          })
        }
    t.equal((await send(bearer, `/verify/orders${query}`)).status, 401, 'as Envoy passes it')
    t.equal((await send(bearer, '/verify/orders?page=access_token')).status, 200)
    t.equal((await send([...bearer, 'X-Original-URI', '/access_token?page=2'])).status, 200)
    t.equal((await send(bearer, `/verify${query}`)).status, 400, 'nor is it read from our own')
  },
)

t.test('header fields that are too large are rejected', async (t) => {
  const { status } = await send(['Authorization', `Bearer ${'x'.repeat(20_000)}`])
  t.equal(status, 431)
  t.equal((await send([...bearer, 'Cookie', 'x'.repeat(20_000)])).status, 431)
  t.equal((await send(['Authorization', `Bearer ${'x'.repeat(10_000)}`])).status, 401)
})

t.test('an announced body is not awaited, and what follows is not mistaken for it', async (t) => {
  const head = (length: string) =>
    `POST /verify HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer ${secret}\r\n${length}\r\nContent-Type: nonsense\r\n\r\n`
  const next = `GET /verify HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer ${other.secret}\r\n\r\n`
  for (const [length, more] of [
    ['Content-Length: 60', next],
    ['Transfer-Encoding: chunked', '5\r\nhel'],
  ] as const) {
    const answer = await raw(`${head(length)}${more}`)
    t.match(answer, /^HTTP\/1\.1 200 OK\r\n/, length)
    t.match(answer, /\r\nconnection: close\r\n/i)
    t.equal(answer.match(/HTTP\/1\.1/g)?.length, 1, 'one answer, and the end')
  }
  for (const length of ['Content-Length: 0', 'X-Nothing: here']) {
    const answer = await raw(`${head(length)}${next.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')}`)
    t.equal(answer.match(/HTTP\/1\.1 200/g)?.length, 2, 'without one the connection goes on')
  }
})

t.test('a preflight request is left to the service it is for', async (t) => {
  for (const path of ['/verify', '/verify/orders']) {
    const preflight = ['Origin', origin, 'Access-Control-Request-Method', 'PUT']
    t.equal((await send(preflight, path, 'OPTIONS')).status, 401)
    t.equal((await send([...preflight, ...bearer], path, 'OPTIONS')).status, 200)
  }
})

t.test('no name or subject can end a header field or forge one', async (t) => {
  const nasty = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }),
    fc.constantFrom(
      'a\r\nX-Token-Type: admin',
      '100%',
      'ä, b; "c"',
      '\u2028',
      '\u{1F511}',
      'x\ty',
      '%0d%0a',
      ' ',
    ),
  )
  await fc.assert(
    fc.asyncProperty(nasty, nasty, async (name, subject) => {
      fc.pre([name, subject].every((text) => text.isWellFormed() && !text.includes('\0')))
      await world.sql('update tokens set name = $1, owner_subject = $2, owner_source = $3 where id = $4', [
        name,
        subject,
        'internal',
        other.id,
      ])
      const { status, headers } = await world.ask('GET', '/verify', { token: other.secret })
      t.equal(status, 200)
      for (const [field, text] of Object.entries({ 'x-token-name': name, 'x-token-subject': subject })) {
        t.match(headers[field], /^[\x21-\x7E]+$/)
        t.equal(decodeURIComponent(headers[field] ?? ''), text)
      }
      t.equal(headers['x-token-type'], 'api')
    }),
    { numRuns: 60 },
  )
})

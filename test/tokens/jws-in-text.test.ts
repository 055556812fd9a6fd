import fc from 'fast-check'
import t from 'tap'
import { holdsSecret, maskSecrets, Secret } from '../../src/shared/secret.ts'

const encode = (value: string | Buffer) => Buffer.from(value).toString('base64url')
const object = fc.dictionary(fc.stringMatching(/^[a-z]/), fc.string(), { minKeys: 1 })
const jws = fc
  .tuple(object, object, fc.uint8Array({ minLength: 32, maxLength: 256 }))
  .map(([header, claims, signature]) =>
    [JSON.stringify(header), JSON.stringify(claims), Buffer.from(signature)].map(encode).join('.'),
  )

t.test('a compact JWS is found and masked anywhere in a text', async () => {
  const around = fc.constantFrom('', ' ', '"', 'Bearer ', '\n', '(', 'token=', 'https://host.example/?t=')
  fc.assert(
    fc.property(around, jws, fc.constantFrom('', ' ', '"', '\n', ')', '&x=1'), (before, token, after) => {
      const text = before + token + after
      return holdsSecret(text) && maskSecrets(text) === `${before}[secret]${after}`
    }),
  )
})

t.test('its hint shows four characters of each end', async () => {
  fc.assert(
    fc.property(jws, (token) => new Secret(token).hint() === `${token.slice(0, 4)}…${token.slice(-4)}`),
  )
})

t.test('text that only starts like one is not masked', async (t) => {
  for (const text of [
    'eyJ',
    'eyJhbGciOiJub25lIn0',
    'see eyJh..XbLOiHLNDTM..hgft',
    'keyJx.eyJx.eyJx',
    'a.b.c',
  ]) {
    t.equal(holdsSecret(text), false, text)
    t.equal(maskSecrets(text), text)
  }
})

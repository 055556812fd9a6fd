import { createHash } from 'node:crypto'
import { inspect } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { alphabet, generateSecret, holdsSecret, maskSecrets, Secret } from '../../src/shared/secret.ts'

const label = fc.stringMatching(/^[a-z][a-z0-9]{0,9}(_[a-z][a-z0-9-]{0,20}[a-z0-9])?$/)
const secret = label.map((label) => generateSecret(label).reveal())

t.test('a secret is its label, 30 random characters and a checksum of 6', async (t) => {
  fc.assert(
    fc.property(label, (label) => {
      const text = generateSecret(label).reveal()
      return text.startsWith(`${label}_`) && /^[0-9A-Za-z]{36}$/.test(text.slice(label.length + 1))
    }),
  )
  t.equal(generateSecret('wxt', () => 0).reveal(), 'wxt_0000000000000000000000000000002wjQ3G')
})

t.test('a generated secret is never mistaken for a typo', async () => {
  fc.assert(fc.property(secret, (text) => !new Secret(text).isMistyped()))
})

t.test('one wrong character is always noticed', async () => {
  fc.assert(
    fc.property(secret, fc.nat(35), fc.constantFrom(...alphabet), (text, fromEnd, other) => {
      const at = text.length - 1 - fromEnd
      fc.pre(text[at] !== other)
      return new Secret(text.slice(0, at) + other + text.slice(at + 1)).isMistyped()
    }),
  )
})

t.test('a swap of two neighbours is always noticed', async () => {
  fc.assert(
    fc.property(secret, fc.integer({ min: 1, max: 35 }), (text, fromEnd) => {
      const at = text.length - 1 - fromEnd
      fc.pre(text[at] !== text[at + 1])
      const swapped = text.slice(0, at) + text[at + 1] + text[at] + text.slice(at + 2)
      return new Secret(swapped).isMistyped()
    }),
  )
})

t.test('text of another format is looked up in the database', async (t) => {
  for (const text of ['', 'x', 'eyJhbGciOiJFZERTQSJ9.e30.c2ln', 'A'.repeat(40), `api_${'a'.repeat(35)}`]) {
    t.equal(new Secret(text).isMistyped(), false, text)
  }
})

t.test('the hash is SHA-256 of the whole presented string', async (t) => {
  const text = 'api_anything'
  t.equal(new Secret(text).hash().toString('hex'), createHash('sha256').update(text).digest('hex'))
})

t.test('the hint shows the start and the last four characters and no more', async (t) => {
  t.equal(generateSecret('pat_acme', () => 10).hint(), 'pat_acme_AAAA…E39z')
  fc.assert(fc.property(secret, (text) => !text.includes(new Secret(text).hint().slice(-10))))
})

t.test('the hint of a short foreign secret shows even less', async (t) => {
  const given = 'a-token-of-thirty-two-characters'
  const hint = new Secret(given).hint()
  t.ok(hint.length < given.length / 2, hint)
})

t.test('a secret cannot be logged or serialised by accident', async (t) => {
  const secret = generateSecret('api')
  for (const shown of [
    `${secret}`,
    JSON.stringify({ secret }),
    inspect(secret),
    inspect({ deep: { secret } }),
  ]) {
    t.notOk(shown.includes(secret.reveal().slice(4)), shown)
  }
})

t.test('secrets are found and masked anywhere in a text', async () => {
  fc.assert(
    fc.property(fc.string(), secret, fc.string(), (before, text, after) => {
      const whole = `${before} ${text} ${after}`
      return holdsSecret(whole) && !maskSecrets(whole).includes(text)
    }),
  )
})

t.test('ordinary text contains no secret', async () => {
  fc.assert(
    fc.property(fc.lorem({ mode: 'sentences' }), (text) => !holdsSecret(text) && maskSecrets(text) === text),
  )
})

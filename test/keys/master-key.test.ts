import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { masterKeyIn, masterKeyPattern, parseMasterKey } from '../../src/keys/master-key.ts'
import { generateSigningKey, openSigningKey, reseal } from '../../src/keys/sealed.ts'

const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((array) => Buffer.from(array))

t.test('a master key has 256 bits in every spelling', async () => {
  fc.assert(
    fc.property(bytes, fc.constantFrom('hex', 'base64', 'base64url'), (key, encoding) => {
      const text = key.toString(encoding)
      return new RegExp(masterKeyPattern).test(text) && parseMasterKey(text).export().equals(key)
    }),
  )
})

t.test('other lengths are rejected', async () => {
  const other = fc.uint8Array({ maxLength: 64 }).filter(({ length }) => length !== 32)
  fc.assert(
    fc.property(other, fc.constantFrom('hex', 'base64', 'base64url'), (key, encoding) => {
      return !new RegExp(masterKeyPattern).test(Buffer.from(key).toString(encoding))
    }),
  )
})

t.test('a master key does not show itself when it is logged', async (t) => {
  const text = 'ab'.repeat(32)
  const key = parseMasterKey(text)
  for (const shown of [inspect(key), JSON.stringify({ key }), String(key)]) {
    t.notOk(shown.includes(text) || shown.includes(key.export().toString('base64')))
  }
})

t.test(
  'the embedded database has its own master key, which is kept and which others cannot read',
  async (t) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'counterfoil-master-key-'))
    t.teardown(() => rm(dataDir, { recursive: true }))
    const [first, second] = [await masterKeyIn(dataDir), await masterKeyIn(dataDir)]
    t.ok(first.equals(second))
    const path = join(dataDir, 'master-key')
    t.equal((await stat(path)).mode & 0o777, 0o600)
    t.ok(parseMasterKey((await readFile(path, 'utf8')).trim()).equals(first))
    await writeFile(path, '')
    await t.rejects(masterKeyIn(dataDir), /does not contain a master key/)
  },
)

t.test('a sealed key opens only under its master key, and only unmodified', async (t) => {
  const masterKey = parseMasterKey('0'.repeat(64))
  const wrong = parseMasterKey('1'.repeat(64))
  const { kid, alg, sealedPrivateJwk: sealed } = await generateSigningKey('ES256', masterKey)
  t.ok(await openSigningKey(sealed, { kid, alg }, [wrong, masterKey]))
  t.equal(await openSigningKey(sealed, { kid, alg }, [wrong]), undefined)
  t.equal(await openSigningKey(sealed, { kid: 'another', alg }, [masterKey]), undefined)
  t.equal(await reseal(sealed, kid, [wrong], masterKey), undefined)
  for (const member of ['ciphertext', 'tag', 'iv', 'encrypted_key', 'protected'] as const) {
    const text = sealed[member] ?? ''
    const changed = { ...sealed, [member]: `${text[0] === 'A' ? 'B' : 'A'}${text.slice(1)}` }
    t.equal(await openSigningKey(changed, { kid, alg }, [masterKey]), undefined, member)
  }
})

t.test('an opened key signs and cannot be exported', async (t) => {
  const masterKey = parseMasterKey('0'.repeat(64))
  for (const alg of ['EdDSA', 'ES256', 'RS256'] as const) {
    const { kid, sealedPrivateJwk } = await generateSigningKey(alg, masterKey)
    const key = await openSigningKey(sealedPrivateJwk, { kid, alg }, [masterKey])
    t.match(key, { extractable: false, usages: ['sign'] }, alg)
  }
})

import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { deriveSeal } from '../../src/idempotency/seal.ts'
import { Secret } from '../../src/shared/secret.ts'

const scope = ['organization', 'principal']
const key = () => new Secret(randomUUID())

t.test('a response opens with the key, scope and request it was sealed with', async () => {
  fc.assert(
    fc.property(fc.uuid(), fc.string({ unit: 'binary' }), fc.string(), (text, answer, request) => {
      fc.pre(answer.isWellFormed())
      const seal = deriveSeal(new Secret(text), scope)
      const closed = seal.close(answer, seal.fingerprint(request))
      const again = deriveSeal(new Secret(text), scope)
      t.same(again.hash, seal.hash)
      t.equal(again.open(closed, again.fingerprint(request)), answer)
    }),
  )
})

t.test('it does not open with another key, scope or request, or with a changed bit', async (t) => {
  const secret = key()
  const seal = deriveSeal(secret, scope)
  const fingerprint = seal.fingerprint('request')
  const closed = seal.close('the answer', fingerprint)
  const others = [deriveSeal(key(), scope), deriveSeal(secret, ['organization', 'another'])]
  for (const other of others) {
    t.notSame(other.hash, seal.hash)
    t.notSame(other.fingerprint('request'), fingerprint)
    t.throws(() => other.open(closed, fingerprint))
  }
  t.throws(() => seal.open(closed, seal.fingerprint('another request')))
  for (let at = 0; at < closed.length; at++) {
    const changed = Buffer.from(closed)
    changed[at] = (changed[at] ?? 0) ^ 1
    t.throws(() => seal.open(changed, fingerprint))
  }
})

t.test('neither the key nor the response is readable in what is stored', async (t) => {
  const secret = key()
  const seal = deriveSeal(secret, scope)
  const fingerprint = seal.fingerprint('request')
  const stored = Buffer.concat([seal.hash, fingerprint, seal.close('the answer', fingerprint)]).toString(
    'latin1',
  )
  t.notOk(stored.includes(secret.reveal()))
  t.notOk(stored.includes('the answer'))
})

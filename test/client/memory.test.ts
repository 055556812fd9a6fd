import t from 'tap'
import type { Introspection, Revocation } from '../../client/introspection.ts'
import { createMemory } from '../../client/memory.ts'

const answer: Introspection = {
  active: true,
  scope: 'read',
  client_id: 'id',
  sub: 'id',
  jti: 'id',
  iss: 'https://tokens.example',
  iat: 0,
  organization: 'default',
  type: 'api',
  token_name: 'A token',
}
const inactive = { active: false } as const
const about = (what: Partial<Revocation>): Revocation => ({
  id: '00000001.1',
  at: '2026-03-01T12:00:00.000Z',
  reason: 'changed',
  token_id: null,
  organization: null,
  type: null,
  owner: null,
  hash: null,
  ...what,
})

function create({ size = 100, ttlMs = 1_000 } = {}) {
  const time = { ms: 0 }
  const elapsed = () => time.ms
  const memory = createMemory({ size, ttlMs, feedTtlMs: 60_000, timeoutMs: 2_000, elapsed })
  return { memory, time }
}

t.test('without a feed an answer is used for its TTL, counted from the request', async (t) => {
  const { memory, time } = create()
  time.ms = 400
  memory.keep('a', answer, 0)
  time.ms = 999
  t.equal(memory.find('a'), answer)
  time.ms = 1_000
  t.equal(memory.find('a'), undefined)
})

t.test('a negative answer is cached only for the TTL, with or without the feed', async (t) => {
  const { memory, time } = create()
  memory.trust(100_000)
  time.ms = 10_000
  memory.keep('a', inactive, 10_000)
  t.same(memory.find('a'), inactive)
  time.ms = 11_000
  t.equal(memory.find('a'), undefined)
})

t.test(
  'the feed vouches for answers requested three seconds after it started, and only for a limited time',
  async (t) => {
    const { memory, time } = create()
    memory.trust(1_000_000)
    memory.keep('early', answer, 2_999)
    memory.keep('late', answer, 3_000)
    time.ms = 10_000
    t.equal(memory.find('early'), undefined)
    t.equal(memory.find('late'), answer)
    time.ms = 63_000
    t.equal(memory.find('late'), undefined)
  },
)

t.test('cached answers are used again when the feed has caught up', async (t) => {
  const { memory, time } = create()
  memory.trust(10_000)
  memory.keep('a', answer, 5_000)
  memory.keep('b', answer, 5_000)
  time.ms = 10_000
  t.equal(memory.find('a'), undefined)
  memory.tell(about({ hash: 'b' }))
  memory.trust(12_000)
  t.equal(memory.find('a'), answer)
  t.equal(memory.find('b'), undefined)
})

t.test(
  'an answer from before a change, or from an instance that has not seen it, is not cached',
  async (t) => {
    const owner = { organization: 'default', owner: 'id' }
    for (const what of [{ hash: 'a' }, owner, { organization: 'default' }, { type: 'api' }]) {
      const { memory, time } = create()
      memory.trust(100_000)
      time.ms = 10_000
      memory.tell(about(what))
      for (const askedAt of [9_000, 10_000, 13_000]) {
        memory.keep('a', answer, askedAt)
        t.equal(memory.find('a'), undefined)
      }
      memory.keep('a', answer, 13_001)
      t.equal(memory.find('a'), answer)
    }
  },
)

t.test('an ended secret is rejected without a request while an instance may not know yet', async (t) => {
  for (const reason of ['revoked', 'deleted', 'secret_ended'] as const) {
    const { memory, time } = create()
    memory.tell(about({ hash: 'a', reason }))
    time.ms = 2_999
    memory.keep('a', answer, 2_999)
    t.same(memory.find('a'), inactive)
    time.ms = 3_000
    t.equal(memory.find('a'), undefined)
    memory.tell(about({ hash: 'a', reason }))
    memory.tell(about({ hash: 'a', reason: 'changed' }))
    t.equal(memory.find('a'), undefined, 'it may be good again')
  }
})

t.test('the suspension of an owner affects only their tokens in that organization', async (t) => {
  const { memory, time } = create()
  memory.trust(100_000)
  time.ms = 10_000
  const kept = { other: { ...answer, sub: 'other' }, elsewhere: { ...answer, organization: 'other' } }
  memory.keep('a', answer, 5_000)
  for (const [hash, one] of Object.entries(kept)) memory.keep(hash, one, 5_000)
  memory.tell(about({ reason: 'suspended', organization: 'default', owner: 'id' }))
  t.equal(memory.find('a'), undefined)
  for (const [hash, one] of Object.entries(kept)) t.equal(memory.find(hash), one)
})

t.test(
  'a reset clears the cache, and the feed does not vouch for answers requested right after it',
  async (t) => {
    const { memory, time } = create()
    memory.trust(100_000)
    memory.keep('a', answer, 5_000)
    time.ms = 6_000
    memory.tell(about({ reason: 'reset' }))
    t.equal(memory.find('a'), undefined)
    memory.keep('a', answer, 6_000)
    t.equal(memory.find('a'), answer)
    time.ms = 7_000
    t.equal(memory.find('a'), undefined)
  },
)

t.test('a flood of bad tokens evicts no good ones, and a flood of events causes a reset', async (t) => {
  const { memory } = create({ size: 10 })
  memory.trust(100_000)
  memory.keep('a', answer, 5_000)
  for (let i = 0; i < 1_000; i++) memory.keep(`garbage ${i}`, inactive, 5_000)
  t.equal(memory.find('a'), answer)
  for (let i = 0; i <= 10_000; i++) memory.tell(about({ hash: `hash ${i}` }))
  t.equal(memory.find('a'), undefined)
})

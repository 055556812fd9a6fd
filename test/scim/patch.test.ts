import fc from 'fast-check'
import t from 'tap'
import { valuesIn } from '../../src/scim/attributes.ts'
import { patched } from '../../src/scim/patch.ts'
import { AppError } from '../../src/shared/errors.ts'

const address = fc.record({
  value: fc.constantFrom('a@x', 'b@x', 'c@x'),
  type: fc.constantFrom('work', 'home', 'other'),
})
const user = fc.record(
  {
    userName: fc.constantFrom('ada', 'bob'),
    active: fc.boolean(),
    displayName: fc.string({ minLength: 1, maxLength: 10 }),
    name: fc.record({ givenName: fc.string({ minLength: 1 }), familyName: fc.string({ minLength: 1 }) }),
    emails: fc.uniqueArray(address, { minLength: 1, maxLength: 4, selector: ({ type }) => type }),
  },
  { requiredKeys: ['userName', 'active'] },
)
const patch = (before: object, ...Operations: object[]): any => patched(before as any, { Operations })

t.test('replacing each attribute, by a path or without one, is the same as a PUT', async () => {
  const spelling = fc.constantFrom('replace', 'Replace', 'REPLACE')
  fc.assert(
    fc.property(user, user, spelling, fc.boolean(), (before, after, op, hasPath) => {
      const entries = Object.entries(after).filter(([name]) => name !== 'name')
      const operations = hasPath
        ? entries.map(([path, value]) => ({ op, path, value }))
        : [{ op, value: Object.fromEntries(entries) }]
      const { name: _, ...expected } = { ...before, ...after }
      const { name: __, ...actual } = patch(before, ...operations)
      return JSON.stringify(sorted(actual)) === JSON.stringify(sorted(expected))
    }),
  )
})

t.test(
  'a PATCH never changes what it is applied to, and applying a replacement twice is the same as once',
  async () => {
    fc.assert(
      fc.property(user, user, (before, { userName: value }) => {
        const copy = structuredClone(before)
        const once = patch(before, { op: 'replace', path: 'userName', value })
        const twice = patch(once, { op: 'replace', path: 'userName', value })
        return same(before, copy) && same(once, twice)
      }),
    )
  },
)

t.test('brackets change the addresses that match, and no others', async () => {
  fc.assert(
    fc.property(user, fc.constantFrom('work', 'home', 'other'), ({ emails = [], ...rest }, type) => {
      const before = valuesIn({ ...rest, emails })
      const path = `emails[type eq "${type}"].value`
      const { emails: after = [] } = patch(before, { op: 'replace', path, value: 'new@x' })
      const others = (list: { type: string }[]) => list.filter((one) => one.type !== type)
      const [changed] = after.filter((one: any) => one.type === type)
      const { emails: left = [] } = patch(before, { op: 'remove', path: `emails[type eq "${type}"]` })
      return same(others(after), others(emails)) && changed.value === 'new@x' && same(left, others(emails))
    }),
  )
})

t.test('adding the same addresses twice adds them once', async () => {
  fc.assert(
    fc.property(
      user,
      fc.uniqueArray(address, { maxLength: 4, selector: (one) => JSON.stringify(one) }),
      (before, value) => {
        const add = { op: 'add', path: 'emails', value }
        return same(patch(before, add), patch(before, add, add))
      },
    ),
  )
})

t.test('at most one address is primary, and it is the one that was made so last', async () => {
  const type = fc.constantFrom('work', 'home', 'other')
  fc.assert(
    fc.property(user, fc.array(type, { minLength: 1, maxLength: 5 }), (before, types) => {
      const operations = types.map((one) => ({
        op: 'Add',
        path: `emails[type eq "${one}"].primary`,
        value: 'True',
      }))
      const primary = patch(before, ...operations).emails.filter((one: any) => one.primary)
      return primary.length === 1 && primary[0].type === types.at(-1)
    }),
  )
})

const word = fc.constantFrom(
  ...[
    'op',
    'add',
    'replace',
    'remove',
    'path',
    'value',
    'emails',
    'emails[type eq "work"]',
    'name.givenName',
  ],
  ...['__proto__', 'constructor', 'prototype', 'emails.__proto__', 'name.constructor', 'active', 'userName'],
)
const value: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    word,
    fc.boolean(),
    fc.constant(null),
    fc.integer(),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(word, tie('value'), { maxKeys: 3, noNullPrototype: false }),
  ),
})).value
const operation = fc.record(
  { op: fc.oneof(word, value), path: fc.oneof(word, value), value },
  { requiredKeys: [] },
)

t.test('whatever is sent: kept attributes only, or a 400, and no prototype is touched', async (t) => {
  const known = ['userName', 'active', 'displayName', 'name', 'emails', 'externalId']
  fc.assert(
    fc.property(user, fc.array(operation, { maxLength: 5 }), (before, Operations) => {
      try {
        return Object.keys(patched(before, { Operations })).every((name) => known.includes(name))
      } catch (error) {
        return error instanceof AppError && error.code === 'invalid_request'
      }
    }),
    { numRuns: 3000 },
  )
  t.same(Object.keys(Object.prototype), [])
})

function sorted(value: object): object {
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

import fc from 'fast-check'
import t from 'tap'
import { parseFilter } from '../../src/scim/filter.ts'
import { selectUsers } from '../../src/scim/store.ts'
import { AppError } from '../../src/shared/errors.ts'
import { costOf } from '../support/plans.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const scim = await world.manager(['scim'])

type User = { userName: string; displayName?: string; externalId?: string; active: boolean; emails?: Email[] }
type Email = { value: string; type: string; primary?: boolean }

const users: User[] = [
  { userName: 'ada@example.com', displayName: 'Ada', externalId: 'A-1', active: true },
  {
    userName: 'BOB',
    externalId: 'a-1',
    active: false,
    emails: [{ value: 'bob@home.example', type: 'home' }],
  },
  {
    userName: 'carol"quoted\\',
    displayName: 'ada',
    active: true,
    emails: [
      { value: 'carol@work.example', type: 'work', primary: true },
      { value: 'carol@home.example', type: 'home' },
    ],
  },
  { userName: "dave'; drop table owners; --", displayName: '%_', active: false },
]
for (const body of users) await world.ask('POST', '/scim/v2/Users', { token: scim, body })

const search = (filter: string) =>
  world.ask('GET', `/scim/v2/Users?${new URLSearchParams({ filter })}`, { token: scim })
const found = async (filter: string) => {
  const { status, text, body } = await search(filter)
  if (status !== 200) throw new Error(`${filter}: ${text}`)
  return body.Resources.map(({ userName }: User) => userName)
}

type Meaning = { text: string; holds(user: User): boolean }

const values = ['ada@example.com', 'bob', 'ADA', 'a-1', 'A-1', 'a', '', '%', '_', '"', '\\', 'home', "'"]
const quoted = fc.constantFrom(...values).map((value) => ({ value, text: JSON.stringify(value) }))
const compare = {
  eq: (held: string, value: string) => held === value,
  ne: (held: string, value: string) => held !== value,
  co: (held: string, value: string) => held.includes(value),
  sw: (held: string, value: string) => held.startsWith(value),
  ew: (held: string, value: string) => held.endsWith(value),
}
const operator = fc.constantFrom(...(Object.keys(compare) as (keyof typeof compare)[]))
const spelled = (word: string) => fc.constantFrom(word, word.toUpperCase())
const attribute = fc.constantFrom('userName', 'displayName', 'externalId' as const)

const ofText: fc.Arbitrary<Meaning> = fc
  .tuple(attribute, operator, quoted)
  .chain(([name, op, { value, text }]) =>
    fc.tuple(spelled(name), spelled(op)).map(([writtenName, writtenOp]) => ({
      text: `${writtenName} ${writtenOp} ${text}`,
      holds(user: User) {
        const held = user[name]
        if (held === undefined) return op === 'ne'
        return name === 'externalId'
          ? compare[op](held, value)
          : compare[op](held.toLowerCase(), value.toLowerCase())
      },
    })),
  )
const simple: fc.Arbitrary<Meaning> = fc.oneof(
  ofText,
  attribute.map((name) => ({ text: `${name} pr`, holds: (user: User) => user[name] !== undefined })),
  fc
    .boolean()
    .map((active) => ({ text: `active eq ${active}`, holds: (user: User) => user.active === active })),
  fc.tuple(operator, quoted).map(([op, { value, text }]) => ({
    text: `emails.value ${op} ${text}`,
    holds: ({ emails = [] }: User) => emails.some((email) => compare[op](email.value, value.toLowerCase())),
  })),
  fc.tuple(fc.constantFrom('work', 'home'), quoted).map(([type, { value, text }]) => ({
    text: `emails[type eq "${type}" and value co ${text}]`,
    holds: ({ emails = [] }: User) =>
      emails.some((email) => email.type === type && email.value.includes(value.toLowerCase())),
  })),
)
const filters = fc.letrec<{ filter: Meaning }>((tie) => ({
  filter: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    simple,
    fc.tuple(tie('filter'), fc.constantFrom('and', 'OR'), tie('filter')).map(([a, word, b]) => ({
      text: `(${a.text}) ${word} (${b.text})`,
      holds: (user: User) =>
        word === 'and' ? a.holds(user) && b.holds(user) : a.holds(user) || b.holds(user),
    })),
    tie('filter').map((one) => ({ text: `not (${one.text})`, holds: (user: User) => !one.holds(user) })),
  ),
})).filter

t.test('a filter finds the users that it describes', async () => {
  await fc.assert(
    fc.asyncProperty(filters, async ({ text, holds }) => {
      const expected = users.filter(holds).map(({ userName }) => userName)
      const actual = await found(text)
      if (JSON.stringify(actual) !== JSON.stringify(expected)) throw new Error(`${actual} for ${text}`)
    }),
    { numRuns: 150 },
  )
})

t.test('and binds more tightly than or', async (t) => {
  const [ada, bob] = ['userName sw "ada"', 'userName eq "bob"']
  t.same(await found(`${ada} or ${bob} and active eq true`), ['ada@example.com'])
  t.same(await found(`${bob} and active eq true or ${ada}`), ['ada@example.com'])
  t.same(await found(`(${ada} or ${bob}) and active eq false`), ['BOB'])
})

t.test('attributes that the service sets can be compared', async (t) => {
  const all = users.map(({ userName }) => userName)
  const now = world.clock.now.toISOString()
  t.same(await found(`meta.created le "${now}"`), all)
  t.same(await found(`meta.lastModified gt "${now}"`), [])
  t.same(await found('externalId eq null'), [all[2], all[3]])
  t.same(await found('emails pr'), [all[1], all[2]])
  t.same(await found('urn:ietf:params:scim:schemas:core:2.0:User:userName eq "bob"'), [all[1]])
})

const unsupported = [
  ...['', ' ', 'userName', 'userName eq', 'eq "x"', 'userName is "x"', 'userName eq x', 'userName eq "x'],
  ...[
    'userName eq "x" and',
    'userName eq "x" userName pr',
    '(userName pr',
    'userName pr)',
    'not userName pr',
  ],
  ...['shoes eq "x"', 'name.shoes pr', '__proto__ pr', 'constructor.name pr', 'name eq "x"', 'userName eq 7'],
  ...['userName eq true', 'active gt true', 'active eq "maybe"', 'meta.created co "2026"'],
  ...['meta.created gt "yesterday"', 'meta.created gt "0000-01-01T00:00:00Z"', 'emails[type eq "x"'],
  ...['emails[]', 'name[givenName eq "x"]', 'emails[emails[value pr]]', 'userName[value pr]'],
  ...['userName eq "\\x"', "userName eq 'x'", 'userName eq "a\nb"', 'userName eq "x";--'],
  '('.repeat(500),
  `${'not ('.repeat(12)}userName pr${')'.repeat(12)}`,
  Array(50).fill('active eq true').join(' or '),
  `userName eq "${'x'.repeat(1000)}"`,
]

t.test('what is not supported is a 400 invalidFilter', async (t) => {
  for (const filter of unsupported)
    t.match(
      await search(filter),
      { status: 400, body: { scimType: 'invalidFilter', detail: /^The filter / } },
      filter.slice(0, 60),
    )
})

t.test('any text is a filter or an invalidFilter', async () => {
  const word = fc.constantFrom(
    'userName',
    'emails',
    '[',
    ']',
    '(',
    ')',
    ' ',
    '"',
    '\\',
    'eq',
    'and',
    'not',
    '.',
    'pr',
  )
  const text = fc.oneof(
    fc.string(),
    fc.array(word, { maxLength: 40 }).map((words) => words.join('')),
  )
  fc.assert(
    fc.property(text, (filter) => {
      try {
        parseFilter(filter)
        return true
      } catch (error) {
        return error instanceof AppError && error.scimType === 'invalidFilter'
      }
    }),
    { numRuns: 2000 },
  )
})

t.test('directories look users up by an index', async (t) => {
  const { id: organization } = (
    await world.ask('POST', '/v1/organizations', { body: { key: 'large', name: 'Large' } })
  ).body
  await world.sql(
    `insert into directory_users (organization_id, id, user_name, external_id, active, attributes, created_at, updated_at)
     select $1, gen_random_uuid(), 'User-' || i, 'E-' || i, true, '{}', now(), now() from generate_series(1, 5000) i`,
    [organization],
  )
  await world.sql('analyze directory_users')
  for (const filter of [
    'userName eq "user-77"',
    'externalId eq "E-77"',
    'userName eq "user-77" and active eq true',
  ]) {
    const page = { filter: parseFilter(filter), startIndex: 1, count: 10 }
    t.equal((await selectUsers(world.db, organization, page)).total, 1, filter)
    // An explained count is no count, so that the function fails.
    const { examined } = await costOf(world.db, 'directory_users', (db) =>
      selectUsers(db, organization, page).catch(() => {}),
    )
    t.ok(examined < 10, `${filter}: ${examined}`)
  }
})

import t, { type Test } from 'tap'
import { type Answer, createWorld } from '../support/world.ts'
import { type Caller, makeCallers } from './callers.ts'
import { recordChanges } from './changes.ts'
import { contractOf, type Operation, operationsOf } from './contract.ts'
import { expectedStatus, makeSpare, makeTarget, matrix, pathOf, type Row, type Target } from './matrix.ts'

const world = await createWorld(t)
const operations = await operationsOf(world.app)
const violations = contractOf(world.app)
const callers = await makeCallers(world)
const shared = await makeTarget(world)
const changes = await recordChanges(world)
let count = 0

t.test('the matrix has exactly one row per operation', async (t) => {
  t.same(Object.keys(matrix).sort(), operations.map(({ id }) => id).sort())
})

for (const operation of operations) {
  const row = matrix[operation.id]
  if (!row) continue

  t.test(`${operation.id}: rejected callers get the right status, and nothing changes`, async (t) => {
    const refused = callers.filter((caller) => expectedStatus(row, caller) >= 400)
    await changes()
    await answersAsExpected(t, operation, row, refused, async () => shared)
    t.same(await changes(), {})
  })

  t.test(`${operation.id}: permitted callers succeed`, async (t) => {
    const allowed = callers.filter((caller) => expectedStatus(row, caller) < 400)
    const fresh = /^(revoke|rotate)Self$/.test(operation.id) ? await makeSelves(allowed) : allowed
    const make = () => makeSpare(world, operation.id, ++count)
    const kept = operation.method === 'GET' && (await make())
    await answersAsExpected(t, operation, row, fresh, async () => kept || make())
  })
}

t.test("another organization's token is not found in the caller's own organization either", async (t) => {
  const other = callers.find(({ good }) => good?.home === 'other')
  const items = operations.filter(({ path }) => path.includes('{token}'))
  t.ok(items.length > 0)
  for (const operation of items) {
    const answer = await send(operation, other as Caller, { ...shared, organization: 'other' })
    t.equal(answer.status, 404, operation.id)
  }
  t.match(await world.introspect(shared.token.secret), { active: true })
})

t.test('RFC 7009 §2.2: revoking an unreachable token by secret is a 200 and does nothing', async (t) => {
  const without = callers.filter(({ name }) => /^another/.test(name))
  t.equal(without.length, 2)
  for (const { token } of without) {
    const answer = await world.ask('POST', '/revoke', { token, form: { token: shared.token.secret } })
    t.equal(answer.status, 200)
  }
  t.match(await world.introspect(shared.token.secret), { active: true })
})

t.test("RFC 7662 §2.2: another organization's token introspects as inactive, and nothing more", async (t) => {
  const other = callers.find(({ good }) => good?.home === 'other')
  t.same(await world.introspect(shared.token.secret, other?.token), { active: false })
})

t.test(
  'RFC 7662 §2.3 and RFC 6749 §5.2: a bad HTTP Basic credential is a 401 with a Basic challenge',
  async (t) => {
    const bad = callers.filter(({ good, token }) => !good && token)
    const good = callers.find(({ name }) => name === 'default: only tokens:introspect')
    const pairs = [
      ...bad.map(({ token }) => `${shared.token.id}:${token}`),
      `not-its-id:${good?.token}`,
      'x',
      ':',
    ]
    for (const url of ['/introspect', '/revoke']) {
      for (const pair of pairs) {
        const authorization = `Basic ${Buffer.from(pair).toString('base64')}`
        const form = { token: shared.token.secret }
        const answer = await world.ask('POST', url, { token: '', headers: { authorization }, form })
        t.match(answer, { status: 401, body: { error: 'invalid_client' } })
        t.match(answer.headers['www-authenticate'], /^Basic realm="counterfoil"/)
      }
    }
  },
)

/** Copies of callers whose tokens are revoked or rotated by the operation. */
async function makeSelves(originals: Caller[]): Promise<Caller[]> {
  const copies = originals
    .filter(({ good }) => good)
    .map(async ({ name, good }) => {
      const type = good?.holds.length ? 'management' : 'api'
      const owner = { subject: good?.owner }
      return {
        name,
        good,
        token: (await world.issue({ type, scopes: good?.holds, owner }, good?.home)).secret,
      }
    })
  return Promise.all(copies)
}

async function answersAsExpected(
  t: Test,
  operation: Operation,
  row: Row,
  some: Caller[],
  target: () => Promise<Target>,
): Promise<void> {
  const expected: Record<string, number> = {}
  const actual: Record<string, number> = {}
  for (const caller of some) {
    const answer = await send(operation, caller, await target())
    expected[caller.name] = expectedStatus(row, caller)
    actual[caller.name] = answer.status
    t.same(violations(operation, answer), [], caller.name)
    refusesProperly(t, row, caller, answer)
  }
  t.same(actual, expected)
}

/**
 * RFC 6750 §3: the challenge has no error if no credential was sent; otherwise it says that the token is invalid, or
 * which scope is missing.
 */
function refusesProperly(t: Test, { needs, and, byGateway }: Row, caller: Caller, answer: Answer): void {
  if (answer.status !== 401 && answer.status !== 403) return
  const challenge = [answer.headers['www-authenticate']].flat().join(', ')
  t.match(challenge, /^Bearer realm="counterfoil"/)
  if (!caller.token) t.notMatch(challenge, /error/)
  else if (!caller.good || (byGateway && caller.good.home === 'other'))
    t.match(challenge, /error="invalid_token"/)
  else {
    const lacking = caller.good.holds.some((permission) => permission === needs) ? and : needs
    t.match(challenge, new RegExp(`error="insufficient_scope", .*, scope="${lacking}"`))
  }
}

function send(operation: Operation, caller: Caller, target: Target): Promise<Answer> {
  const url = pathOf(operation, target)
  const row = matrix[operation.id]
  if (row?.byGateway) {
    const headers: Record<string, string> = caller.token ? { 'x-counterfoil-gateway': caller.token } : {}
    return world.ask(operation.method, url, { token: target.token.secret, headers })
  }
  const ask = row?.ask?.(target, ++count) ?? {}
  return world.ask(operation.method, url, { ...ask, token: caller.token })
}

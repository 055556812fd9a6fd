// A signed-in user and a token with the same permissions get the same response from every operation.
import t from 'tap'
import { permissions } from '../../src/access/permissions.ts'
import { owner } from '../http/callers.ts'
import { operationsOf } from '../http/contract.ts'
import { expectedStatus, makeSpare, makeTarget, matrix } from '../http/matrix.ts'
import { startProvider } from './provider.ts'
import { createTrustingWorld, trust } from './trust.ts'

const world = await createTrustingWorld(t)
const provider = await startProvider(t)
const ofOrganizations = permissions.filter((permission) => permission !== 'platform:admin')
const group_permissions = ofOrganizations.map((permission) => ({
  group: permission,
  permissions: [permission],
}))
await trust(world, provider, { group_permissions })
await world.ask('POST', '/v1/organizations', { body: { key: 'other', name: 'other' } })
await trust(world, provider, { group_permissions, audience: 'other' }, 'other')

const now = Math.floor(world.clock.now.getTime() / 1000)
const user = (groups: string[], aud = 'https://counterfoil.test/v1', sub = owner.subject) =>
  provider.sign({ iss: provider.issuer, aud, sub, groups, exp: now + 3600 })

const callers = [
  ...(await Promise.all(
    ofOrganizations.map(async (permission) => ({
      name: `a user with only ${permission}`,
      token: await user([permission]),
      holds: [permission],
      subject: owner.subject,
    })),
  )),
  {
    name: 'a user with everything',
    token: await user(ofOrganizations),
    holds: ofOrganizations,
    subject: owner.subject,
  },
  { name: 'a user with nothing', token: await user([]), holds: [], subject: owner.subject },
  {
    name: "another user's tokens:own",
    token: await user(['tokens:own'], undefined, 'u-9'),
    holds: ['tokens:own' as const],
    subject: 'u-9',
  },
]
const outsider = await user(ofOrganizations, 'other')
const ofOrganization = (await operationsOf(world.app)).filter(
  ({ id, path }) => path.includes('{organization}') && matrix[id]?.needs !== 'nothing',
)
let count = 0

for (const operation of ofOrganization) {
  t.test(`${operation.id}: a user has the access of a token with the same permissions`, async (t) => {
    const row = matrix[operation.id]
    if (!row) throw new Error('it has no row')
    for (const { name, token, holds, subject } of callers) {
      const good = { home: 'default' as const, holds, owner: subject }
      const target = await makeSpare(world, operation.id, ++count)
      // The spare organization is not the user's, so the user has no access there.
      const elsewhere = target.organization !== 'default'
      const { status } = await send(operation, target, token)
      t.equal(status, elsewhere ? 401 : expectedStatus(row, { name, token, good }), name)
    }
    const target = await makeTarget(world)
    t.equal((await send(operation, target, outsider)).status, 401, 'a user of another organization')
  })
}

type Target = Awaited<ReturnType<typeof makeTarget>>

function send(operation: (typeof ofOrganization)[number], target: Target, token: string) {
  const values: Record<string, string> = { ...target, token: target.token.id, subject: 'u-4712' }
  const url = operation.path.replace(/\{(\w+)\}/g, (_match, name) => values[name] ?? '')
  const ask = matrix[operation.id]?.ask?.(target, ++count) ?? {}
  return world.ask(operation.method, url, { ...ask, token })
}

import fc from 'fast-check'
import t from 'tap'
import { type Answer, createWorld } from '../support/world.ts'
import { contractOf, type Operation, operationsOf } from './contract.ts'
import { type Request, requestFor } from './requests.ts'
import { changed, growth, type Snapshot, snapshot } from './snapshot.ts'

t.setTimeout(240_000)
const world = await createWorld(t)
const operations = await operationsOf(world.app)
const violations = contractOf(world.app)

/** What is in the paths, and who sends; made anew when a request has used it up. */
const known: Record<string, string> = {
  organization: 'default',
  type: 'spare',
  subject: 'u-4712',
  code: 'not_found',
}
const self = { secret: '' }
await renew()
let before = await renewKeys()

for (const operation of operations) {
  t.test(
    `${operation.id}: whatever is sent, no 5xx, nothing undeclared, and all or nothing is written`,
    async () => {
      known.organization = /(update|suspend|resume|delete)Organization/.test(operation.id)
        ? 'spare'
        : 'default'
      const request = requestFor(operation, () => known)
      await fc.assert(
        fc.asyncProperty(request, async (request) => {
          const answer = await send(operation, request)
          const after = await snapshot(world.db)
          const wrong = [...violations(operation, answer), ...wrongWrites(operation, answer, before, after)]
          before = after
          if (answer.status < 300 && /delete|revoke/i.test(operation.id)) before = await renew()
          if (answer.status < 300 && /SigningKey$/.test(operation.id)) before = await renewKeys()
          if (wrong.length > 0) throw new Error(`${answer.status}: ${wrong.join('; ')}`)
        }),
        { numRuns: 40, includeErrorInReport: true },
      )
    },
  )
}

/** What a success of these adds; of every success that changes anything the change log tells in one row. */
const additions: Record<string, Record<string, number>> = {
  createToken: { tokens: 1, token_secrets: 1 },
  createTokenType: { token_types: 1 },
  createOrganization: { organizations: 1 },
  rotateSigningKey: { signing_keys: 1 },
  deleteToken: { tokens: -1, token_secrets: -1 },
  deleteTokenType: { token_types: -1 },
  deleteOrganization: { organizations: -1 },
}

function wrongWrites(
  { id, method }: Operation,
  { status }: Answer,
  before: Snapshot,
  after: Snapshot,
): string[] {
  if (status >= 500) return ['a server error']
  const tables = changed(before, after)
  if (status >= 400 || method === 'GET') return tables.map((table) => `${table} has changed`)
  const expected = { ...additions[id], ...(tables.length > 0 && { audit_events: 1 }) }
  // Of how many secrets the feed tells depends on what was revoked.
  const { revocations: _, ...actual } = growth(before, after)
  const same =
    JSON.stringify(Object.entries(actual).sort()) === JSON.stringify(Object.entries(expected).sort())
  return same ? [] : [`rows added: ${JSON.stringify(actual)}`]
}

async function send({ method, id }: Operation, { path, query, headers, body }: Request): Promise<Answer> {
  const token = /Self$/.test(id) ? self.secret : world.admin
  return world.ask(method, query ? `${path}?${query}` : path, {
    token,
    headers,
    ...(body !== undefined && { body }),
  })
}

async function renew(): Promise<Snapshot> {
  await world.ask('POST', '/v1/organizations', { body: { key: 'spare', name: 'Spare' } })
  await world.ask('POST', '/v1/organizations/spare/suspend')
  await world.ask('POST', '/v1/token-types', { body: { name: 'spare', prefix: 'spare' } })
  known.token = (await world.issue({ name: 'Target' })).id
  self.secret = (await world.issue({ name: 'Self' })).secret
  return snapshot(world.db)
}

/** From now on no key is upcoming, and there is one that can be retired. */
async function renewKeys(): Promise<Snapshot> {
  // From now on no key is upcoming, and there is one that can be retired.
  known.kid = (await world.ask('GET', '/v1/signing-keys')).body.items.at(-1).kid
  await world.ask('POST', '/v1/signing-keys/rotate', { body: { immediately: true } })
  return snapshot(world.db)
}

import fc from 'fast-check'
import t from 'tap'
import { type Answer, createWorld } from '../support/world.ts'
import { type Changes, recordChanges } from './changes.ts'
import { contractOf, type Operation, operationsOf } from './contract.ts'
import { someStatusList } from './matrix.ts'
import { type Request, requestFor } from './requests.ts'

const world = await createWorld(t, { verification: { fields: [], trustedNetworks: ['127.0.0.1'] } })
const operations = await operationsOf(world.app)
const violations = contractOf(world.app)

/** Path parameters and the caller; created again when a request has used them up. */
const known: Record<string, string> = {
  organization: 'default',
  type: 'spare',
  subject: 'u-4712',
  code: 'not_found',
  resourceType: 'User',
  schema: 'urn:ietf:params:scim:schemas:core:2.0:User',
  list: await someStatusList(world),
}
const self = { secret: '' }
const changes = await recordChanges(world)
await renew('')
await world.issue({ name: 'Owned', owner: { subject: known.subject } })
await renewKeys()

for (const operation of operations) {
  t.test(
    `${operation.id}: whatever is sent, no 5xx, nothing undeclared, and all or nothing is written`,
    async () => {
      known.organization = /(update|suspend|resume|delete)Organization$/.test(operation.id)
        ? 'spare'
        : 'default'
      if (/(ClientKeys|SignalStream)$/.test(operation.id)) await renew(operation.id)
      const request = requestFor(operation, () => known)
      await fc.assert(
        fc.asyncProperty(request, async (request) => {
          const answer = await send(operation, request)
          const wrong = [...violations(operation, answer), ...wrongWrites(operation, answer, await changes())]
          if (
            answer.status < 300 &&
            /delete|revoke|rotateToken|Rotation|replaceClientKeys|createWebhook/i.test(operation.id)
          )
            await renew(operation.id)
          if (answer.status < 300 && /SigningKey$/.test(operation.id)) await renewKeys()
          if (wrong.length > 0) throw new Error(`${answer.status}: ${wrong.join('; ')}`)
        }),
        // The database keeps its state from one request to the next, so a shrunk request would run on another state.
        { numRuns: 40, endOnFailure: true, includeErrorInReport: true },
      )
    },
  )
}

/** The rows that a success of these operations adds; every successful change adds one row to the change log. */
const additions: Record<string, Record<string, number>> = {
  createToken: { tokens: 1, token_secrets: 1, token_uses: 1 },
  createTokenType: { token_types: 1 },
  createOrganizationTokenType: { organization_token_types: 1 },
  deleteOrganizationTokenType: { organization_token_types: -1 },
  createOrganization: { organizations: 1 },
  rotateSigningKey: { signing_keys: 1 },
  replaceClientKeys: { client_keys: 1 },
  deleteClientKeys: { client_keys: -1 },
  createTrustedIssuer: { trusted_issuers: 1 },
  deleteTrustedIssuer: { trusted_issuers: -1 },
  createWebhook: { webhooks: 1 },
  deleteWebhook: { webhooks: -1 },
  testWebhook: { deliveries: 1 },
  deleteToken: { tokens: -1, token_secrets: -1, token_uses: -1 },
  deleteTokenType: { token_types: -1 },
  deleteOrganization: { organizations: -1 },
  createSession: { sessions: 1 },
  endSession: { sessions: -1 },
  createScimUser: { directory_users: 1 },
  deleteScimUser: { directory_users: -1 },
  replaceSignalStream: {},
  deleteSignalStream: { signal_streams: -1 },
}

function wrongWrites({ id, method }: Operation, { status }: Answer, changes: Changes): string[] {
  if (status >= 500) return ['a server error']
  const tables = Object.keys(changes)
  if (status >= 400 || method === 'GET') return tables.map((table) => `${table} has changed`)
  const expected = { ...additions[id], ...(tables.length > 0 && { audit_events: 1 }) }
  // The number of secrets in the feed depends on what was revoked; a new token may have a new owner.
  // Events are told to webhooks and logged, and changes of active tokens noted for their limit.
  const uncounted = ['revocations', 'owners', 'outbox', 'log_queue', 'active_count_changes']
  const actual = Object.fromEntries(
    Object.entries(changes).filter(([table, added]) => added !== 0 && !uncounted.includes(table)),
  )
  // It deletes the deliveries of its webhook too.
  if (id === 'deleteWebhook') delete actual.deliveries
  // As many as the token had.
  if (id === 'deleteToken') delete actual.deleted_secrets
  // A rotation adds, moves or replaces secrets, depending on what the token has and what the body asks for.
  if (id === 'rotateToken')
    for (const table of ['token_secrets', 'superseded_secrets', 'secret_uses']) delete actual[table]
  // A change of a user is recorded for each owner that it changes, and each of the owner's facts and suspensions.
  // Sign-ins are not in the change log.
  if (/(ScimUser|Session)$/.test(id)) for (const rows of [actual, expected]) delete rows.audit_events
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

/** For this operation: only management tokens have client keys. */
async function renew(operationId: string): Promise<void> {
  await world.ask('POST', '/v1/organizations', { body: { key: 'spare', name: 'Spare' } })
  await world.ask('POST', '/v1/organizations/spare/suspend')
  await world.ask('POST', '/v1/token-types', { body: { name: 'spare', prefix: 'spare' } })
  // With the changed policy, creating a token might fail.
  await world.ask('PUT', '/v1/organizations/default/policy', { body: {} })
  await world.ask('POST', '/v1/organizations/default/token-types', { body: { name: 'spare', prefix: 'own' } })
  const management = { type: 'management', scopes: ['tokens:introspect'] }
  const { id } = await world.issue({ name: 'Target', ...(/ClientKeys$/.test(operationId) && management) })
  known.token = id
  if (operationId === 'deleteClientKeys') {
    const body = { jwks_uri: 'https://service.example/jwks.json' }
    await world.ask('PUT', `/v1/organizations/default/tokens/${id}/client-keys`, { body })
  }
  const issuer = { name: 'Target', issuer: 'https://target.example', audience: 'counterfoil' }
  const created = await world.ask('POST', '/v1/organizations/default/issuers', { body: issuer })
  if (created.status === 201) known.issuer = created.body.id
  await world.sql('delete from webhooks')
  const webhooks = '/v1/organizations/default/webhooks'
  const webhook = await world.ask('POST', webhooks, { body: { url: 'https://hooks.example/' } })
  known.webhook = webhook.body.id
  known.delivery = (await world.ask('POST', `${webhooks}/${known.webhook}/test`)).body.id
  if (/SignalStream$/.test(operationId)) {
    const signals = `/v1/organizations/default/issuers/${known.issuer}/signals`
    await world.ask('PUT', signals, { body: { audience: 'https://tokens.example/ssf' } })
  }
  const user = await world.ask('POST', '/scim/v2/Users', { body: { userName: 'target@example.com' } })
  if (user.status === 201) known.user = user.body.id
  self.secret = (await world.issue({ name: 'Self' })).secret
  await changes()
}

async function renewKeys(): Promise<void> {
  // From now on there is no upcoming key, and one key can be retired.
  known.kid = (await world.ask('GET', '/v1/signing-keys')).body.items.at(-1).kid
  await world.ask('POST', '/v1/signing-keys/rotate', { body: { immediately: true } })
  await changes()
}

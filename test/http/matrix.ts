import { hash } from 'node:crypto'
import type { Permission } from '../../src/access/permissions.ts'
import type { Ask, World } from '../support/world.ts'
import type { Caller } from './callers.ts'
import { owner } from './callers.ts'

/** What the requests of the matrix are about; a request that succeeds gets a target of its own. */
export type Target = {
  organization: string
  type: string
  /** The id of a trusted issuer. */
  issuer: string
  token: { id: string; secret: string }
  kid: string
  /** The id of a status list. */
  list: string
  /** The id of a webhook, and of one of its deliveries. */
  webhook: string
  delivery: string
  /** The id of a leak report. */
  leak: string
  /** The id of a user of the organization's directory, and of one of the platform's. */
  user: string
  usersOfPlatform: string
  /** The id of a session of the token. */
  session: string
}

export type Row = {
  /** What the operation needs: nothing, any good credential, or this permission. */
  needs: 'nothing' | 'credential' | Permission
  /** An alternative permission. */
  or?: Permission
  /** Another permission that it needs too. */
  and?: Permission
  /** `tokens:own` is enough for the owner's own tokens; other users' tokens have this status. */
  own?: { others: number }
  /** The status for callers with the permission. */
  ok: number
  /** The status for callers without the permission; 403 (RFC 6750 §3.1) unless a specification says otherwise. */
  lacking?: number
  /** The status for another organization's administrator, who has every permission, but not in this organization. */
  elsewhere: number
  /** The platform's callers do not reach it: it is about the caller's own organization. */
  atHome?: true
  ask?: (target: Target, n: number) => Ask
  /** Called by a gateway, with its own credential besides the user's; tokens it may not see count as bad. */
  byGateway?: true
}

const anIssuer = (_target: unknown, n: number) => ({
  body: { name: 'Sign-in', issuer: `https://login-${n}.example`, audience: 'counterfoil' },
})

const aScimUser = (_target: unknown, n: number) => ({ body: { userName: `user-${n}@example.com` } })
const userSchema = 'urn:ietf:params:scim:schemas:core:2.0:User'

const token = ({ token }: Target) => ({ form: { token: token.secret } })
const own = { others: 404 }
const clientKeys = { jwks_uri: 'https://service.example/jwks.json' }

/** The permissions of every operation of the OpenAPI document. */
export const matrix: Record<string, Row> = {
  live: { needs: 'nothing', ok: 200, elsewhere: 200 },
  ready: { needs: 'nothing', ok: 200, elsewhere: 200 },
  metrics: { needs: 'nothing', ok: 200, elsewhere: 200 },
  describeProblem: { needs: 'nothing', ok: 200, elsewhere: 200 },

  getJwks: { needs: 'nothing', ok: 200, elsewhere: 200 },
  getStatusList: { needs: 'nothing', ok: 200, elsewhere: 200 },
  getServerMetadata: { needs: 'nothing', ok: 200, elsewhere: 200 },

  // RFC 7662 §2.3: 401 also without the permission. Tokens of other organizations are inactive.
  introspect: { needs: 'tokens:introspect', ok: 200, lacking: 401, elsewhere: 200, ask: token },
  verify: { needs: 'tokens:introspect', ok: 200, lacking: 401, elsewhere: 401, byGateway: true },
  introspectBatch: {
    needs: 'tokens:introspect',
    ok: 200,
    lacking: 401,
    elsewhere: 200,
    ask: ({ token }) => ({ body: { tokens: [token.secret] } }),
  },
  // RFC 7009 §2.2: "invalid tokens do not cause an error response".
  revokeBySecret: { needs: 'tokens:write', own: { others: 200 }, ok: 200, elsewhere: 200, ask: token },

  // Callers that reach less see less.
  listRevocations: { needs: 'tokens:introspect', ok: 200, elsewhere: 200 },
  followRevocations: { needs: 'tokens:introspect', ok: 200, elsewhere: 200 },

  createToken: {
    needs: 'tokens:write',
    own: { others: 201 },
    ok: 201,
    elsewhere: 404,
    ask: () => ({ body: { name: 'Made', type: 'api' } }),
  },
  importTokens: {
    needs: 'tokens:write',
    ok: 200,
    elsewhere: 404,
    // One line of NDJSON is a JSON document.
    ask: (_target, n) => ({
      headers: { 'content-type': 'application/x-ndjson' },
      body: { sha256: hash('sha256', `imported ${n}`), type: 'api', name: `Imported ${n}` },
    }),
  },
  listTokens: { needs: 'tokens:read', own: { others: 200 }, ok: 200, elsewhere: 404 },
  listAttention: {
    needs: 'tokens:read',
    own: { others: 200 },
    ok: 200,
    elsewhere: 200,
  },
  countAttention: { needs: 'tokens:read', own: { others: 200 }, ok: 200, elsewhere: 200 },
  countTokens: { needs: 'tokens:read', own: { others: 200 }, ok: 200, elsewhere: 404 },
  getToken: { needs: 'tokens:read', own, ok: 200, elsewhere: 404 },
  updateToken: {
    needs: 'tokens:write',
    own,
    ok: 200,
    elsewhere: 404,
    ask: (_target, n) => ({ body: { name: `Changed ${n}` } }),
  },
  revokeToken: { needs: 'tokens:write', own, ok: 200, elsewhere: 404 },
  deleteToken: { needs: 'tokens:write', own, ok: 204, elsewhere: 404 },
  rotateToken: { needs: 'tokens:write', own, ok: 200, elsewhere: 404 },
  finishRotation: { needs: 'tokens:write', own, ok: 200, elsewhere: 404 },
  cancelRotation: { needs: 'tokens:write', own, ok: 200, elsewhere: 404 },
  listTokenSecrets: { needs: 'tokens:read', own, ok: 200, elsewhere: 404 },
  rotateSelf: { needs: 'tokens:own', or: 'tokens:write', ok: 200, elsewhere: 200 },
  getTokenOptions: {
    needs: 'tokens:read',
    or: 'tokens:write',
    own: { others: 200 },
    ok: 200,
    elsewhere: 404,
  },
  revokeOwnerTokens: { needs: 'tokens:write', ok: 200, elsewhere: 404 },
  listOwners: { needs: 'tokens:read', own: { others: 200 }, ok: 200, elsewhere: 404 },
  getOwner: { needs: 'tokens:read', ok: 200, elsewhere: 404 },
  updateOwner: {
    needs: 'policy:write',
    ok: 200,
    elsewhere: 404,
    ask: (_target, n) => ({ body: { external_id: `changed-${n}` } }),
  },
  suspendOwner: { needs: 'tokens:write', ok: 200, elsewhere: 404 },
  resumeOwner: { needs: 'tokens:write', ok: 200, elsewhere: 404 },
  createSession: { needs: 'credential', ok: 201, elsewhere: 201 },
  // Callers that reach less see less.
  listSessions: { needs: 'credential', ok: 200, elsewhere: 200 },
  // The session of another token, which callers without the permission do not see.
  endSession: { needs: 'tokens:write', ok: 204, lacking: 404, elsewhere: 404 },
  getSelf: { needs: 'credential', ok: 200, elsewhere: 200 },
  revokeSelf: { needs: 'credential', ok: 200, elsewhere: 200 },

  getClientKeys: { needs: 'tokens:read', own, ok: 200, elsewhere: 404 },
  // Not with tokens:own: adding keys to a token hands out its access.
  replaceClientKeys: {
    needs: 'tokens:write',
    ok: 200,
    elsewhere: 404,
    ask: () => ({ body: clientKeys }),
  },
  deleteClientKeys: { needs: 'tokens:write', ok: 204, elsewhere: 404 },

  createTokenType: {
    needs: 'platform:admin',
    ok: 201,
    elsewhere: 403,
    ask: (_target, n) => ({ body: { name: `made-${n}`, prefix: 'made' } }),
  },
  listTokenTypes: { needs: 'credential', ok: 200, elsewhere: 200 },
  getTokenType: { needs: 'credential', ok: 200, elsewhere: 200 },
  updateTokenType: {
    needs: 'platform:admin',
    ok: 200,
    elsewhere: 403,
    ask: (_target, n) => ({ body: { description: `Changed ${n}` } }),
  },
  suspendTokenType: { needs: 'platform:admin', ok: 200, elsewhere: 403 },
  resumeTokenType: { needs: 'platform:admin', ok: 200, elsewhere: 403 },
  deleteTokenType: { needs: 'platform:admin', ok: 204, elsewhere: 403 },

  createOrganizationTokenType: {
    needs: 'policy:write',
    ok: 201,
    elsewhere: 404,
    ask: (_target, n) => ({ body: { name: `made-${n}`, prefix: 'made' } }),
  },
  listOrganizationTokenTypes: { needs: 'credential', ok: 200, elsewhere: 404 },
  getOrganizationTokenType: { needs: 'credential', ok: 200, elsewhere: 404 },
  updateOrganizationTokenType: {
    needs: 'policy:write',
    ok: 200,
    elsewhere: 404,
    ask: (_target, n) => ({ body: { description: `Changed ${n}` } }),
  },
  suspendOrganizationTokenType: { needs: 'policy:write', ok: 200, elsewhere: 404 },
  resumeOrganizationTokenType: { needs: 'policy:write', ok: 200, elsewhere: 404 },
  deleteOrganizationTokenType: { needs: 'policy:write', ok: 204, elsewhere: 404 },

  createOrganization: {
    needs: 'platform:admin',
    ok: 201,
    elsewhere: 403,
    ask: (_target, n) => ({ body: { key: `made-${n}`, name: 'Made' } }),
  },
  listOrganizations: { needs: 'platform:admin', ok: 200, elsewhere: 403 },
  getOrganization: { needs: 'credential', ok: 200, elsewhere: 404 },
  updateOrganization: {
    needs: 'platform:admin',
    ok: 200,
    elsewhere: 404,
    ask: (_target, n) => ({ body: { name: `Changed ${n}` } }),
  },
  suspendOrganization: { needs: 'platform:admin', ok: 200, elsewhere: 404 },
  resumeOrganization: { needs: 'platform:admin', ok: 200, elsewhere: 404 },
  deleteOrganization: { needs: 'platform:admin', ok: 204, elsewhere: 404 },

  getPolicy: { needs: 'policy:read', ok: 200, elsewhere: 404 },
  replacePolicy: {
    needs: 'policy:write',
    ok: 200,
    elsewhere: 404,
    ask: () => ({ body: { expiry_warning: { warning_days: 6 } } }),
  },
  updatePolicy: {
    needs: 'policy:write',
    ok: 200,
    elsewhere: 404,
    ask: (_target, n) => ({ body: { expiry_warning: { warning_days: 6 + (n % 2) } } }),
  },

  reportLeak: {
    needs: 'leaks:report',
    ok: 200,
    elsewhere: 200,
    ask: (_target, n) => ({ body: { secret: `unknown-${n}`, source: 'matrix' } }),
  },
  listLeaks: { needs: 'tokens:read', ok: 200, elsewhere: 404 },
  getLeak: { needs: 'tokens:read', ok: 200, elsewhere: 404 },
  // GitHub's signature is the credential, and these requests have none.
  reportGithubLeaks: { needs: 'nothing', ok: 400, elsewhere: 400, ask: () => ({ body: [] }) },

  listSigningKeys: { needs: 'platform:admin', ok: 200, elsewhere: 403 },
  rotateSigningKey: {
    needs: 'platform:admin',
    ok: 201,
    elsewhere: 403,
    ask: () => ({ body: { immediately: true } }),
  },
  retireSigningKey: { needs: 'platform:admin', ok: 200, elsewhere: 403 },

  createTrustedIssuer: { needs: 'policy:write', ok: 201, elsewhere: 404, ask: anIssuer },
  listTrustedIssuers: { needs: 'policy:read', ok: 200, elsewhere: 404 },
  getTrustedIssuer: { needs: 'policy:read', ok: 200, elsewhere: 404 },
  replaceTrustedIssuer: { needs: 'policy:write', ok: 200, elsewhere: 404, ask: anIssuer },
  deleteTrustedIssuer: { needs: 'policy:write', ok: 204, elsewhere: 404 },

  createWebhook: {
    needs: 'policy:write',
    and: 'audit:read',
    ok: 201,
    elsewhere: 404,
    ask: () => ({ body: { url: 'https://hooks.example/made' } }),
  },
  listWebhooks: { needs: 'policy:read', ok: 200, elsewhere: 404 },
  getWebhook: { needs: 'policy:read', ok: 200, elsewhere: 404 },
  updateWebhook: {
    needs: 'policy:write',
    and: 'audit:read',
    ok: 200,
    elsewhere: 404,
    ask: (_target, n) => ({ body: { description: `Changed ${n}` } }),
  },
  deleteWebhook: { needs: 'policy:write', and: 'audit:read', ok: 204, elsewhere: 404 },
  rotateWebhookSecret: {
    needs: 'policy:write',
    and: 'audit:read',
    ok: 200,
    elsewhere: 404,
    ask: () => ({ body: {} }),
  },
  testWebhook: { needs: 'policy:write', and: 'audit:read', ok: 202, elsewhere: 404 },
  listWebhookDeliveries: { needs: 'policy:read', ok: 200, elsewhere: 404 },
  replayWebhookDelivery: { needs: 'policy:write', and: 'audit:read', ok: 202, elsewhere: 404 },
  replayWebhookDeliveries: {
    needs: 'policy:write',
    and: 'audit:read',
    ok: 202,
    elsewhere: 404,
    ask: () => ({ body: { since: '2026-01-01T00:00:00Z' } }),
  },

  // SCIM is about the organization of the token.
  createScimUser: { needs: 'scim', ok: 201, elsewhere: 201, ask: aScimUser },
  listScimUsers: { needs: 'scim', ok: 200, elsewhere: 200 },
  searchScimUsers: { needs: 'scim', ok: 200, elsewhere: 200, ask: () => ({ body: { count: 1 } }) },
  searchScim: { needs: 'scim', ok: 200, elsewhere: 200, ask: () => ({ body: { count: 1 } }) },
  getScimUser: { needs: 'scim', ok: 200, elsewhere: 404, atHome: true },
  replaceScimUser: { needs: 'scim', ok: 200, elsewhere: 404, atHome: true, ask: aScimUser },
  updateScimUser: {
    needs: 'scim',
    ok: 200,
    elsewhere: 404,
    atHome: true,
    ask: (_target, n) => ({
      body: { Operations: [{ op: 'replace', path: 'displayName', value: `Changed ${n}` }] },
    }),
  },
  deleteScimUser: { needs: 'scim', ok: 204, elsewhere: 404, atHome: true },
  getScimServiceProviderConfig: { needs: 'scim', ok: 200, elsewhere: 200 },
  listScimResourceTypes: { needs: 'scim', ok: 200, elsewhere: 200 },
  getScimResourceType: { needs: 'scim', ok: 200, elsewhere: 200 },
  listScimSchemas: { needs: 'scim', ok: 200, elsewhere: 200 },
  getScimSchema: { needs: 'scim', ok: 200, elsewhere: 200 },
  listScimGroups: { needs: 'scim', ok: 200, elsewhere: 200 },

  getSignalStream: { needs: 'policy:read', ok: 200, elsewhere: 404 },
  replaceSignalStream: {
    needs: 'policy:write',
    and: 'tokens:write',
    ok: 200,
    elsewhere: 404,
    ask: (_target, n) => ({ body: { audience: `https://tokens.example/${n}` } }),
  },
  deleteSignalStream: { needs: 'policy:write', and: 'tokens:write', ok: 204, elsewhere: 404 },
  // Without a signature, no event is received.
  receiveSecurityEvent: {
    needs: 'nothing',
    ok: 400,
    elsewhere: 400,
    ask: () => ({ body: 'not a token', headers: { 'content-type': 'application/secevent+jwt' } }),
  },

  listAuditEvents: { needs: 'audit:read', ok: 200, elsewhere: 404 },
  exportAuditEvents: { needs: 'audit:read', ok: 200, elsewhere: 404 },
  exportAuditProofs: { needs: 'audit:read', ok: 200, elsewhere: 404 },
  getTransparencyLog: { needs: 'audit:read', ok: 200, elsewhere: 200 },
  getCheckpoint: { needs: 'audit:read', ok: 200, elsewhere: 200 },
}

/** The cell of the matrix: the status that this caller gets. */
export function expectedStatus(
  { needs, or, and, own, ok, lacking = 403, elsewhere, atHome }: Row,
  { good }: Caller,
): number {
  if (needs === 'nothing') return ok
  if (!good) return 401
  const enough = [needs, or, 'platform:admin']
  const some = needs === 'credential' || good.holds.some((permission) => enough.includes(permission))
  const held = some && (!and || good.holds.includes(and) || good.holds.includes('platform:admin'))
  if (held) return good.home === 'other' || (atHome && good.home === 'platform') ? elsewhere : ok
  if (own && good.holds.includes('tokens:own')) return good.owner === owner.subject ? ok : own.others
  return good.home === 'other' ? elsewhere : lacking
}

/** The path of an operation for its target. */
export function pathOf({ path }: { path: string }, target: Target): string {
  const values: Record<string, string> = {
    ...target,
    token: target.token.id,
    // Not the owner of the callers, who are still needed.
    subject: other.subject,
    code: 'not_found',
    resourceType: 'User',
    schema: userSchema,
  }
  return path.replace(/\{(\w+)\}/g, (_match, name) => values[name] ?? '')
}

const issuers = '/v1/organizations/default/issuers'

async function newIssuer(world: World, n: number): Promise<string> {
  const body = { name: 'Spare', issuer: `https://spare-${n}.example`, audience: 'counterfoil' }
  return (await world.ask('POST', issuers, { body })).body.id
}

const webhooks = '/v1/organizations/default/webhooks'

/** A webhook with one delivery. */
async function newWebhook(world: World): Promise<Pick<Target, 'webhook' | 'delivery'>> {
  const created = await world.ask('POST', webhooks, { body: { url: 'https://hooks.example/' } })
  const webhook = created.body.id
  const test = await world.ask('POST', `${webhooks}/${webhook}/test`)
  return { webhook, delivery: test.body.id }
}

/** Of the last webhook, if it has a delivery. */
export async function someWebhook(world: World): Promise<Pick<Target, 'webhook' | 'delivery'>> {
  const find = 'select webhook_id as webhook, id as delivery from deliveries order by position desc limit 1'
  return (await world.sql(find)).rows[0] ?? newWebhook(world)
}

async function oldestKey(world: World): Promise<string> {
  return (await world.ask('GET', '/v1/signing-keys')).body.items.at(-1).kid
}

export const other = { subject: 'u-4712' }

const targets = new WeakMap<World, Promise<Target>>()

/** The target of requests that leave it as it is: one for each world. */
export function makeTarget(world: World): Promise<Target> {
  const target = targets.get(world) ?? makeFirst(world)
  targets.set(world, target)
  return target
}

async function makeFirst(world: World): Promise<Target> {
  await world.sequencer.flush()
  // Refused once an operation has suspended the owner; by then the record is there.
  await world.ask('POST', '/v1/organizations/default/tokens', {
    body: { name: 'Of another', type: 'api', owner: other },
  })
  return {
    organization: 'default',
    type: 'api',
    issuer: await newIssuer(world, 0),
    token: await world.issue({ name: 'Target', owner }),
    kid: await oldestKey(world),
    session: await newSession(world),
    list: await someStatusList(world),
    ...(await someWebhook(world)),
    leak: await someLeak(world),
    ...((await someUsers(world)) ?? (await newUsers(world, 0))),
  }
}

async function someUsers(world: World): Promise<Pick<Target, 'user' | 'usersOfPlatform'> | undefined> {
  const { rows } = await world.sql(
    'select max(u.id::text) as id, o.key from directory_users u join organizations o on o.id = organization_id group by o.key',
  )
  const of = (key: string): string | undefined => rows.find((row) => row.key === key)?.id
  const [user, usersOfPlatform] = [of('default'), of('platform')]
  return user && usersOfPlatform ? { user, usersOfPlatform } : undefined
}

const provisioners = new WeakMap<World, string>()

async function newUsers(world: World, n: number): Promise<Pick<Target, 'user' | 'usersOfPlatform'>> {
  const token = provisioners.get(world) ?? (await world.manager(['scim']))
  provisioners.set(world, token)
  const make = async (token: string): Promise<string> => {
    const body = { userName: `spare-${n}@example.com` }
    return (await world.ask('POST', '/scim/v2/Users', { token, body })).body.id
  }
  return { user: await make(token), usersOfPlatform: await make(world.admin) }
}

/** Shared by all targets: no operation changes it. */
export async function someLeak(world: World): Promise<string> {
  const leaks = '/v1/organizations/default/leaks'
  const [known] = (await world.ask('GET', leaks)).body.items
  if (known) return known.id
  const { secret } = await world.issue({ name: 'Leaked' })
  return (await world.ask('POST', '/v1/leaks', { body: { secret, source: 'matrix' } })).body.report.id
}

/** Shared by all targets: no operation changes it. */
export async function someStatusList(world: World): Promise<string> {
  const find = async () => (await world.sql('select id from status_lists limit 1')).rows[0]?.id
  const found = await find()
  if (found) return found
  await world.ask('POST', '/v1/token-types', { body: { name: 'listed', format: 'jwt', status_list: true } })
  await world.issue({ type: 'listed' })
  return find()
}

async function newSession(world: World): Promise<string> {
  const { secret } = await world.issue({ name: 'With a session' })
  return (await world.ask('POST', '/v1/sessions', { token: secret })).body.id
}

/** Creates a target that the operation can be applied to without affecting the next request. */
export async function makeSpare(world: World, operationId: string, n: number): Promise<Target> {
  const target = { ...(await makeTarget(world)), token: await world.issue({ name: 'Target', owner }) }
  if (/(update|suspend|resume|delete)OrganizationTokenType$/.test(operationId)) {
    const type = `own-${n}`
    await world.ask('POST', '/v1/organizations/default/token-types', { body: { name: type, prefix: 'own' } })
    return { ...target, type }
  }
  if (/(update|suspend|resume|delete)Organization/.test(operationId)) {
    const organization = `spare-${n}`
    await world.ask('POST', '/v1/organizations', { body: { key: organization, name: 'Spare' } })
    await world.ask('POST', `/v1/organizations/${organization}/suspend`)
    return { ...target, organization }
  }
  if (/ClientKeys$/.test(operationId)) {
    const token = await world.issue({ type: 'management', scopes: ['tokens:write'], owner })
    const url = `/v1/organizations/default/tokens/${token.id}/client-keys`
    await world.ask('PUT', url, { body: { jwks_uri: 'https://other.example/jwks.json' } })
    return { ...target, token }
  }
  if (/ScimUser$/.test(operationId)) return { ...target, ...(await newUsers(world, 10_000 + n)) }
  if (operationId === 'endSession') return { ...target, session: await newSession(world) }
  if (operationId === 'cancelRotation')
    await world.ask('POST', `/v1/organizations/default/tokens/${target.token.id}/rotate`, {
      body: { activation: 'first_use' },
    })
  if (/SignalStream$/.test(operationId)) {
    const issuer = await newIssuer(world, 20_000 + n)
    await world.ask('PUT', `${issuers}/${issuer}/signals`, { body: { audience: 'https://tokens.example/' } })
    return { ...target, issuer }
  }
  if (/^(replace|delete)TrustedIssuer$/.test(operationId))
    return { ...target, issuer: await newIssuer(world, n) }
  if (/Webhook/.test(operationId) && !/^create/.test(operationId)) {
    // An organization has room for 50.
    await world.sql('delete from webhooks')
    return { ...target, ...(await newWebhook(world)) }
  }
  if (operationId === 'createWebhook') await world.sql('delete from webhooks')
  if (operationId === 'retireSigningKey') {
    const kid = await oldestKey(world)
    await world.ask('POST', '/v1/signing-keys/rotate', { body: { immediately: true } })
    return { ...target, kid }
  }
  if (/(update|suspend|resume|delete)TokenType/.test(operationId)) {
    const type = `spare-${n}`
    await world.ask('POST', '/v1/token-types', { body: { name: type, prefix: 'spare' } })
    return { ...target, type }
  }
  return target
}

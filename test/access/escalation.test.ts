// No caller can grant more than it holds: every operation that creates, widens or borrows a credential, with every
// limit that a caller can have.
import { hash, randomUUID } from 'node:crypto'
import t from 'tap'
import { permissions } from '../../src/access/permissions.ts'
import { catalogue, type ErrorCode } from '../../src/shared/errors.ts'
import { recordChanges } from '../http/changes.ts'
import { operationsOf } from '../http/contract.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld } from '../support/world.ts'

t.setTimeout(300_000)
const world = await createWorld(t, { trustProxy: ['127.0.0.1'] })
const changes = await recordChanges(world)
const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
for (const key of ['acme', 'other'])
  await world.ask('POST', '/v1/organizations', { body: { key, name: key } })

const ndjson = 'application/x-ndjson'
const subject = 'u-4711'
for (const organization of ['acme', 'other']) await world.issue({ owner: { subject } }, organization)

const powers = permissions.filter((permission) => !['platform:admin', 'tokens:own'].includes(permission))
const a = 'https://a.example'
const networks = ['192.0.2.0/24']
const inside = '192.0.2.9'

/**
 * One caller per limit, which holds everything else. Where a limit rules out platform:admin, the caller lacks that too.
 */
const callers = {
  permissions: await world.manager(
    powers.filter((permission) => permission !== 'audit:read'),
    'platform',
  ),
  organizations: await world.manager(powers, 'platform', { narrowed_to: { organizations: ['acme'] } }),
  audiences: await world.manager(powers, 'platform', { narrowed_to: { audience: [a] } }),
  types: await world.manager(powers, 'platform', { narrowed_to: { types: ['api'] } }),
  networks: await world.manager(['platform:admin'], 'platform', { allowed_cidrs: networks }),
}
type Dimension = keyof typeof callers
const dimensions = Object.keys(callers) as Dimension[]

/** What the error says about the limit. */
const said: Record<Dimension, RegExp> = {
  permissions: /permission audit:read/,
  organizations: /organizations.*narrowed_to\.organizations/,
  audiences: /audiences.*narrowed_to\.audience/,
  types: /types.*narrowed_to\.types/,
  networks: /networks.*allowed_cidrs/,
}

type Request = { path: string; body?: object | undefined }
type Make = () => Request | Promise<Request>
type Row = {
  operation: string
  what: string
  /** Requests that grant more than the caller of that column holds, in that dimension only. */
  beyond: Partial<Record<Dimension, Make[]>>
  /** A request that the caller of that column may make. */
  within?: Make | Partial<Record<Dimension, Make>>
  /** Why there is no request beyond the limit, or none within it. */
  because?: Partial<Record<Dimension, string>>
  refusal?: RegExp
}

const operations = new Map((await operationsOf(world.app)).map((operation) => [operation.id, operation]))

async function send(operation: string, { path, body }: Request, token: string, headers: object = {}) {
  const response = await fetch(`${url}/v1${path}`, {
    method: operations.get(operation)?.method ?? 'none',
    headers: {
      authorization: `Bearer ${token}`,
      'x-forwarded-for': inside,
      ...(body && { 'content-type': operation === 'importTokens' ? ndjson : 'application/json' }),
      ...headers,
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  if (response.headers.get('content-type') === ndjson) return ofLine(JSON.parse(text.split('\n')[0] ?? ''))
  const answer = text === '' ? undefined : JSON.parse(text)
  if (answer?.secret) recordSecret(answer.secret)
  return { status: response.status, body: answer }
}

/** The result of a line that is imported, as a response. */
function ofLine({ status, code, detail }: any) {
  return status === 'invalid'
    ? { status: catalogue[code as ErrorCode].status, body: { code, detail } }
    : { status: 201, body: {} }
}

let count = 0
const tokensIn = (organization: string) => `/organizations/${organization}/tokens`

const ordinary = { name: 'Ordinary', type: 'api', audience: [a], allowed_cidrs: ['192.0.2.0/25'] }
const makeOrdinary =
  (more: object = {}, organization = 'acme') =>
  () => ({ path: tokensIn(organization), body: { ...ordinary, ...more } })

const importOrdinary =
  (more: object = {}, organization = 'acme') =>
  () => ({
    path: `${tokensIn(organization)}/import`,
    body: { ...ordinary, sha256: hash('sha256', `imported ${++count}`), ...more },
  })

const narrow = { organizations: ['acme'], audience: [a], types: ['api'] }
const server = {
  name: 'Server',
  type: 'management',
  scopes: ['tokens:introspect'],
  narrowed_to: narrow,
  allowed_cidrs: ['192.0.2.0/25'],
}
const makeServer =
  (more: object = {}, organization = 'platform') =>
  () => ({ path: tokensIn(organization), body: { ...server, ...more } })
const withoutLimit = (member: keyof typeof narrow) => ({ narrowed_to: { ...narrow, [member]: undefined } })
const toMake = { scopes: ['tokens:write'], narrowed_to: null }

/** A request about a token that is created for it. */
const about =
  (token: Record<string, unknown>, organization: string, ask: (path: string) => Request): Make =>
  async () =>
    ask(`${tokensIn(organization)}/${(await world.issue(token, organization)).id}`)

const putKeys = (more: object = {}, organization = 'platform') =>
  about({ ...server, ...more }, organization, (path) => ({
    path: `${path}/client-keys`,
    body: { jwks_uri: 'https://service.example/jwks.json' },
  }))

const elsewhere = { allowed_cidrs: ['203.0.113.0/24'] }

const rotateIt = (token: object = {}, organization = 'acme') =>
  about({ ...ordinary, ...token }, organization, (path) => ({ path: `${path}/rotate`, body: {} }))

/** Lets a token be used from one more network. */
const widen = (
  token: object = {},
  organization = 'acme',
  allowed_cidrs: string[] | null = ['203.0.113.0/24', '192.0.2.7'],
) =>
  about({ ...ordinary, ...elsewhere, ...token }, organization, (path) => ({ path, body: { allowed_cidrs } }))

const registration = (more: object = {}) => ({
  name: 'Sign-in',
  issuer: `https://login-${++count}.example`,
  audience: 'counterfoil',
  default_permissions: ['tokens:read'],
  ...more,
})
const register =
  (more: object = {}, organization = 'acme'): Make =>
  () => ({ path: `/organizations/${organization}/issuers`, body: registration(more) })
const registerAnew =
  (more: object = {}, organization = 'acme'): Make =>
  async () => {
    const path = `/organizations/${organization}/issuers`
    const claims = organization === 'platform' ? { claims: { organization: null } } : {}
    const body = registration({ ...claims, default_permissions: [] })
    const { id } = (await world.ask('POST', `/v1${path}`, { body })).body
    return { path: `${path}/${id}`, body: { ...body, ...registration(), ...claims, ...more } }
  }
const ofPlatform = { claims: { organization: 'tenant' } }
const issuers = (make: typeof register): Omit<Row, 'operation' | 'what'> => ({
  beyond: {
    permissions: [
      make({ default_permissions: ['audit:read'] }),
      make({ group_permissions: [{ group: 'staff', permissions: ['audit:read'] }] }),
    ],
    organizations: [make({}, 'other'), make(ofPlatform, 'platform')],
    audiences: [make(), make({ default_permissions: [] })],
    types: [make(), make({ default_permissions: [] })],
    networks: [make(), make({ default_permissions: [] })],
  },
  within: { permissions: make(), organizations: make() },
  because: {
    audiences: 'users are not limited to audiences',
    types: 'users are not limited to types',
    networks: 'users are not limited to networks',
  },
})

/** A policy for an organization that only allowed `api` before. */
const policy =
  (body: object, organization = 'acme'): Make =>
  async () => {
    const path = `/organizations/${organization}/policy`
    await world.ask('PUT', `/v1${path}`, { body: { allowed_types: ['api'] } })
    return { path, body }
  }
const policies: Omit<Row, 'operation' | 'what'> = {
  beyond: {
    organizations: [policy({ allowed_types: ['api'] }, 'other')],
    types: [policy({ allowed_types: ['api', 'scim'] }), policy({ allowed_types: null })],
  },
  within: policy({ allowed_types: ['api'], name: { minimum_length: 2 } }),
  because: {
    permissions: 'a policy says nothing of permissions',
    audiences: 'a policy says nothing of audiences',
    networks: 'a policy says nothing of networks',
  },
}

const owner =
  (organization = 'acme'): Make =>
  () => ({
    path: `/organizations/${organization}/owners/${subject}`,
    body: { identity_source: 'ldap', external_id: `${++count}` },
  })

/** An owner with a management token, suspended. */
const suspendedOwner =
  (token: object = {}, organization = 'acme'): Make =>
  async () => {
    const owner = { subject: `u-${++count}` }
    await world.issue({ type: 'management', scopes: ['tokens:read'], ...token, owner }, organization)
    const path = `/organizations/${organization}/owners/${owner.subject}`
    await world.ask('POST', `/v1${path}/suspend`)
    return { path: `${path}/resume` }
  }

/** For platform:admin only, which a narrowed token cannot have. */
const administration = (operation: string, what: string, make: Make): Row => ({
  operation,
  what,
  refusal: /permission platform:admin/,
  beyond: { permissions: [make], organizations: [make], audiences: [make], types: [make] },
  within: { networks: make },
  because: {
    permissions: 'it takes platform:admin',
    organizations: 'it takes platform:admin',
    audiences: 'it takes platform:admin',
    types: 'it takes platform:admin',
    networks: 'no token becomes usable from more networks than its creator could grant',
  },
})
const typeNamed = async (name: string) => {
  await world.ask('POST', '/v1/token-types', { body: { name, prefix: 'made' } })
  return `/token-types/${name}`
}
const suspended = async (path: string) => {
  await world.ask('POST', `/v1${path}/suspend`)
  return { path: `${path}/resume` }
}

/** A type of an organization of its own; the caller limited to types can make `api` only. */
const ownType = { name: 'api', audience: [a] }
const ownTypes = (
  operation: string,
  what: string,
  ask: (type: object, organization: string) => Promise<Request>,
): Row => {
  const make =
    (type: object = {}, organization = 'acme'): Make =>
    async () => {
      if (operation.startsWith('create'))
        await world.ask(
          'DELETE',
          `/v1/organizations/${organization}/token-types/${{ ...ownType, ...type }.name}`,
        )
      return ask(type, organization)
    }
  return {
    operation,
    what,
    beyond: {
      organizations: [make({}, 'other')],
      audiences: [
        make({ name: 'own-a', audience: ['https://b.example'] }),
        make({ name: 'own-b', audience: [] }),
      ],
      types: [make({ name: 'another' })],
    },
    within: make(),
    because: {
      permissions: 'types of organizations have no permissions',
      networks: 'a type says nothing of networks',
    },
  }
}

/** A webhook tells what is in the change log, about every token of the organization. */
const webhook = (operation: string, what: string, ask: (path: string) => Request | Promise<Request>): Row => {
  const make =
    (organization = 'acme'): Make =>
    () =>
      ask(`/organizations/${organization}/webhooks`)
  return {
    operation,
    what,
    beyond: {
      permissions: [make()],
      organizations: [make('other'), make('platform')],
      audiences: [make()],
      types: [make()],
      networks: [make()],
    },
    within: { organizations: make() },
    because: {
      permissions: 'every event is in the change log',
      audiences: 'events are about tokens of any audience',
      types: 'events are about tokens of any type',
      networks: 'the receiver may be anywhere',
    },
  }
}
const newWebhook = async (path: string) => {
  const body = { url: 'https://hooks.example/', events: ['token.leaked'] }
  return `${path}/${(await world.ask('POST', `/v1${path}`, { body })).body.id}`
}

const table: Row[] = [
  {
    operation: 'createToken',
    what: 'a token',
    beyond: {
      organizations: [makeOrdinary({}, 'other'), makeOrdinary({}, 'platform')],
      audiences: [
        makeOrdinary({ audience: ['https://b.example'] }),
        makeOrdinary({ audience: [a, 'https://b.example'] }),
        makeOrdinary({ audience: [] }),
        makeOrdinary({ audience: undefined }),
      ],
      types: [makeOrdinary({ type: 'mcp' })],
      networks: [
        makeOrdinary({ allowed_cidrs: undefined }),
        makeOrdinary({ allowed_cidrs: null }),
        makeOrdinary({ allowed_cidrs: ['192.0.2.0/23'] }),
        makeOrdinary({ allowed_cidrs: ['192.0.2.0/25', '2001:db8::/32'] }),
      ],
    },
    within: makeOrdinary(),
    because: { permissions: 'its scopes are permissions on management tokens only' },
  },
  {
    operation: 'importTokens',
    what: 'a token',
    beyond: {
      organizations: [importOrdinary({}, 'other'), importOrdinary({}, 'platform')],
      audiences: [
        importOrdinary({ audience: ['https://b.example'] }),
        importOrdinary({ audience: [] }),
        importOrdinary({ audience: undefined }),
      ],
      types: [importOrdinary({ type: 'mcp' })],
      networks: [
        importOrdinary({ allowed_cidrs: undefined }),
        importOrdinary({ allowed_cidrs: ['192.0.2.0/23'] }),
      ],
    },
    within: importOrdinary(),
    because: { permissions: 'management tokens cannot be imported' },
  },
  {
    operation: 'createToken',
    what: 'a management token',
    beyond: {
      permissions: [makeServer({ scopes: ['tokens:introspect', 'audit:read'] })],
      organizations: [
        makeServer(withoutLimit('organizations')),
        makeServer({ narrowed_to: { ...narrow, organizations: ['acme', 'other'] } }),
        makeServer({ narrowed_to: null }),
        makeServer(toMake),
        makeServer(toMake, 'other'),
      ],
      audiences: [
        makeServer(withoutLimit('audience')),
        makeServer({ narrowed_to: { ...narrow, audience: [a, 'https://b.example'] } }),
        makeServer({ narrowed_to: null }),
        makeServer(toMake),
      ],
      types: [
        makeServer(withoutLimit('types')),
        makeServer({ narrowed_to: { ...narrow, types: ['scim'] } }),
        makeServer({ narrowed_to: null }),
        makeServer(toMake),
      ],
      networks: [makeServer({ allowed_cidrs: null }), makeServer({ allowed_cidrs: ['0.0.0.0/0'] })],
    },
    within: makeServer(),
  },
  {
    operation: 'updateToken',
    what: 'to let it be used from more networks',
    beyond: {
      permissions: [
        widen({ ...server, scopes: ['audit:read'], narrowed_to: null, ...elsewhere }, 'platform'),
      ],
      organizations: [
        widen({}, 'other'),
        widen({ ...server, ...withoutLimit('organizations'), ...elsewhere }, 'platform'),
      ],
      audiences: [
        widen({ audience: [] }),
        widen({ ...server, ...withoutLimit('audience'), ...elsewhere }, 'platform'),
      ],
      types: [
        widen({ type: 'mcp' }),
        widen({ ...server, ...withoutLimit('types'), ...elsewhere }, 'platform'),
      ],
      networks: [widen({}, 'acme', null), widen({}, 'acme', ['203.0.113.0/24', '192.0.2.0/23'])],
    },
    within: widen(),
  },
  {
    operation: 'rotateToken',
    what: 'a new secret of a token',
    beyond: {
      permissions: [rotateIt({ ...server, scopes: ['audit:read'], narrowed_to: null }, 'platform')],
      organizations: [
        rotateIt({}, 'other'),
        rotateIt({ ...server, ...withoutLimit('organizations') }, 'platform'),
      ],
      audiences: [
        rotateIt({ audience: [] }),
        rotateIt({ audience: [a, 'https://b.example'] }),
        rotateIt({ ...server, ...withoutLimit('audience') }, 'platform'),
      ],
      types: [rotateIt({ type: 'mcp' }), rotateIt({ ...server, ...withoutLimit('types') }, 'platform')],
      networks: [rotateIt({ allowed_cidrs: null }), rotateIt(elsewhere)],
    },
    within: rotateIt(),
  },
  {
    operation: 'replaceClientKeys',
    what: 'a key of one’s own',
    beyond: {
      permissions: [putKeys({ scopes: ['tokens:introspect', 'audit:read'] })],
      organizations: [putKeys(withoutLimit('organizations')), putKeys(toMake, 'other')],
      audiences: [putKeys(withoutLimit('audience')), putKeys(toMake, 'other')],
      types: [putKeys(withoutLimit('types')), putKeys({ narrowed_to: null })],
      networks: [putKeys({ allowed_cidrs: null }), putKeys(elsewhere)],
    },
    within: putKeys(),
  },
  { operation: 'createTrustedIssuer', what: 'users', ...issuers(register) },
  { operation: 'replaceTrustedIssuer', what: 'users', ...issuers(registerAnew) },
  { operation: 'replacePolicy', what: 'what tokens can be', ...policies },
  { operation: 'updatePolicy', what: 'what tokens can be', ...policies },
  {
    operation: 'updateOwner',
    what: 'where an owner comes from',
    beyond: { organizations: [owner('other')] },
    within: owner(),
    because: {
      permissions: 'an owner has no permissions',
      audiences: 'an owner has no audience',
      types: 'an owner is not limited to types',
      networks: 'an owner is not limited to networks',
    },
  },
  {
    operation: 'resumeOwner',
    what: 'the tokens of an owner again',
    beyond: {
      permissions: [suspendedOwner({ scopes: ['audit:read'] })],
      organizations: [suspendedOwner({}, 'other')],
      audiences: [suspendedOwner()],
      types: [suspendedOwner()],
      networks: [suspendedOwner()],
    },
    within: { permissions: suspendedOwner(), organizations: suspendedOwner() },
    because: {
      audiences: 'tokens may be for any audience',
      types: 'tokens may be of any type',
      networks: 'tokens may be usable from anywhere',
    },
  },
  administration('createTokenType', 'a type', () => ({
    path: '/token-types',
    body: { name: `type-${++count}`, prefix: 'made' },
  })),
  administration('updateTokenType', 'more scopes', async () => ({
    path: await typeNamed('widened'),
    body: { default_scopes: [`scope-${++count}`], audience: ['https://b.example'], allowed_scopes: null },
  })),
  administration('resumeTokenType', 'its tokens again', async () => suspended(await typeNamed('resumed'))),
  ownTypes('createOrganizationTokenType', 'a type', async (type, organization) => ({
    path: `/organizations/${organization}/token-types`,
    body: { ...ownType, ...type, prefix: 'own' },
  })),
  ownTypes('updateOrganizationTokenType', 'what a type is for', async (type, organization) => {
    const { name, ...change } = { ...ownType, ...type }
    const body = { name, prefix: 'own', audience: [a], description: `${++count}` }
    await world.ask('POST', `/v1/organizations/${organization}/token-types`, { body })
    return {
      path: `/organizations/${organization}/token-types/${name}`,
      body: { ...change, description: `${++count}` },
    }
  }),
  ownTypes('resumeOrganizationTokenType', 'its tokens again', async (type, organization) => {
    const { name, ...more } = { ...ownType, ...type }
    const path = `/organizations/${organization}/token-types`
    await world.ask('POST', `/v1${path}`, { body: { name, prefix: 'own' } })
    await world.ask('PATCH', `/v1${path}/${name}`, { body: more })
    return suspended(`${path}/${name}`)
  }),
  administration('createOrganization', 'an organization', () => ({
    path: '/organizations',
    body: { key: `made-${++count}`, name: 'Made' },
  })),
  administration('resumeOrganization', 'its tokens again', () => suspended('/organizations/other')),
  webhook('createWebhook', 'what happens', (path) => ({
    path,
    body: { url: 'https://hooks.example/' },
  })),
  webhook('updateWebhook', 'more of what happens', async (path) => ({
    path: await newWebhook(path),
    body: { events: null, description: `${++count}` },
  })),
  webhook('rotateWebhookSecret', 'a secret that signs', async (path) => ({
    path: `${await newWebhook(path)}/rotate-secret`,
    body: {},
  })),
  administration('rotateSigningKey', 'a key', () => ({
    path: '/signing-keys/rotate',
    body: { immediately: true },
  })),
]

const reads = 'it only reads'
const repeats = 'it sends a webhook what it gets anyway'
const takes = 'it only takes away'
/** Operations that cannot grant anything, and why. Every operation of the API must be here or in the table. */
const givesNothing: Record<string, string> = {
  ...Object.fromEntries(
    [
      ...['live', 'ready', 'metrics', 'describeProblem', 'getJwks', 'getStatusList', 'getServerMetadata'],
      ...['introspect', 'introspectBatch', 'verify', 'listRevocations', 'followRevocations'],
      ...[
        'listTokens',
        'countTokens',
        'listAttention',
        'countAttention',
        'getToken',
        'getTokenOptions',
        'getSelf',
        'listOwners',
        'getOwner',
        'getClientKeys',
      ],
      'listTokenSecrets',
      ...[
        'listTokenTypes',
        'getTokenType',
        'listOrganizationTokenTypes',
        'getOrganizationTokenType',
        'listOrganizations',
        'getOrganization',
        'getPolicy',
      ],
      ...[
        'listSigningKeys',
        'listTrustedIssuers',
        'getTrustedIssuer',
        'listAuditEvents',
        'exportAuditEvents',
        'exportAuditProofs',
        'getTransparencyLog',
        'getCheckpoint',
        'listWebhooks',
        'getWebhook',
        'listWebhookDeliveries',
        'listLeaks',
        'listSessions',
        'getLeak',
        'getSignalStream',
        ...[
          'listScimUsers',
          'searchScimUsers',
          'searchScim',
          'getScimUser',
          'listScimGroups',
          'listScimSchemas',
        ],
        ...['getScimSchema', 'listScimResourceTypes', 'getScimResourceType', 'getScimServiceProviderConfig'],
      ],
    ].map((id) => [id, reads]),
  ),
  ...Object.fromEntries(
    [
      ...[
        'revokeBySecret',
        'revokeToken',
        'finishRotation',
        'cancelRotation',
        'revokeSelf',
        'revokeOwnerTokens',
        'deleteToken',
        'deleteClientKeys',
      ],
      ...['suspendOrganizationTokenType', 'deleteOrganizationTokenType'],
      ...['suspendOwner', 'suspendTokenType', 'deleteTokenType', 'suspendOrganization', 'deleteOrganization'],
      ...['deleteTrustedIssuer', 'retireSigningKey', 'deleteWebhook', 'reportLeak', 'reportGithubLeaks'],
      ...['deleteScimUser', 'endSession'],
      ...['replaceSignalStream', 'deleteSignalStream'],
    ].map((id) => [id, takes]),
  ),
  ...Object.fromEntries(
    ['testWebhook', 'replayWebhookDelivery', 'replayWebhookDeliveries'].map((id) => [id, repeats]),
  ),
  updateOrganization: 'it changes a name',
  receiveSecurityEvent: 'it ends only what events of the same issuer suspended',
  ...Object.fromEntries(
    ['createScimUser', 'replaceScimUser', 'updateScimUser'].map((id) => [
      id,
      'it resumes only what the directory suspended, which `scim` is for',
    ]),
  ),
  rotateSelf: 'it gives a caller what the caller has',
  createSession: 'it gives a caller what the caller has',
}

t.test('every operation is in the table, or listed as granting nothing', async (t) => {
  const rows = new Set(table.map(({ operation }) => operation))
  t.same([...rows, ...Object.keys(givesNothing)].sort(), [...operations.keys()].sort())
})

for (const { operation, what, beyond, within, because, refusal } of table) {
  for (const dimension of dimensions) {
    t.test(`${operation}, ${what}: a caller with limited ${dimension}`, async (t) => {
      const makers = beyond[dimension] ?? []
      const possible = typeof within === 'function' ? within : within?.[dimension]
      if (makers.length === 0 || !possible) t.ok(because?.[dimension], 'the table says why')
      const requests: Request[] = []
      for (const make of makers) requests.push(await make())
      await changes()
      for (const request of requests) {
        t.match(await send(operation, request, callers[dimension]), {
          status: 403,
          body: { code: 'insufficient_scope', detail: refusal ?? said[dimension] },
        })
      }
      t.same(await changes(), {}, 'nothing has changed')
      for (const request of requests)
        t.match(await send(operation, request, world.admin), { status: /^20/ }, 'an administrator can')
      if (possible) t.match(await send(operation, await possible(), callers[dimension]), { status: /^20/ })
    })
  }
}

t.test('a token cannot widen its own networks, or those of a copy of itself', async (t) => {
  const { id, secret } = await world.issue(
    { ...server, scopes: powers, narrowed_to: null, allowed_cidrs: networks },
    'default',
  )
  const path = `${tokensIn('default')}/${id}`
  for (const allowed_cidrs of [null, ['192.0.2.0/23'], [...networks, '2001:db8::/32']])
    t.match(await send('updateToken', { path, body: { allowed_cidrs } }, secret), {
      status: 403,
      body: { detail: said.networks },
    })
  const change = { path, body: { allowed_cidrs: ['192.0.2.8/29'] } }
  t.match(await send('updateToken', change, secret), { status: 200 }, 'it can tighten them')
  const back = { path, body: { allowed_cidrs: networks } }
  t.match(await send('updateToken', back, secret), { status: 403 }, 'and not take that back')
})

t.test('with tokens:own, owners can narrow the networks of their tokens but not widen them', async (t) => {
  const owner = { subject: 'u-1' }
  const own = await world.manager(['tokens:own'], 'default', { owner })
  const { id } = await world.issue({ ...ordinary, owner, allowed_cidrs: networks }, 'default')
  const patch = (allowed_cidrs: string[] | null) =>
    send('updateToken', { path: `${tokensIn('default')}/${id}`, body: { allowed_cidrs } }, own)
  for (const wider of [null, [...networks, '198.51.100.0/24']])
    t.match(await patch(wider), { status: 403, body: { detail: /allowed_cidrs.*tokens:write/ } })
  t.match(await patch(['192.0.2.0/28']), { status: 200 })
})

t.test('a retry returns the secret only while its caller could still create such a token', async (t) => {
  const { id, secret } = await world.issue(
    { ...server, scopes: ['tokens:write'], narrowed_to: null, allowed_cidrs: null },
    'default',
  )
  const headers = { 'idempotency-key': `"${randomUUID()}"` }
  recordSecret(headers['idempotency-key'].slice(1, -1))
  const create = () =>
    send('createToken', makeOrdinary({ allowed_cidrs: null }, 'default')(), secret, headers)
  const first = await create()
  t.match(await create(), { status: 201, body: { secret: first.body.secret } })
  await world.ask('PATCH', `/v1${tokensIn('default')}/${id}`, { body: { allowed_cidrs: networks } })
  t.match(await create(), { status: 403, body: { detail: said.networks, secret: undefined } })
})

t.test('single sign-on users cannot lift the rule that keeps them from creating tokens', async (t) => {
  const path = '/organizations/default/policy'
  const put = (body: object, token = world.admin) => send('replacePolicy', { path, body }, token)
  const barred = { creation: { sso_users: false } }
  const user = await world.manager(['policy:write'], 'default', {
    owner: { subject: 'u-1', identity_source: 'sso' },
  })
  const service = await world.manager(['policy:write'], 'default')
  await put(barred)
  for (const body of [{}, { creation: { sso_users: true } }])
    t.match(await put(body, user), {
      status: 403,
      body: { code: 'creation_disabled', detail: /sso_users/ },
    })
  t.match(await put({ ...barred, name: { unique: true } }, user), { status: 200 })
  t.match(await put({}, service), { status: 200 })
})

t.test('the form for a new token offers only types that its caller can grant', async (t) => {
  const offered = async (organization: string, token: string) => {
    const answer = await send('getTokenOptions', { path: `${tokensIn(organization)}/options` }, token)
    return answer.body.types.map(({ name }: any) => name)
  }
  t.same(await offered('platform', callers.types), ['api', 'management'])
  t.same(await offered('other', callers.organizations), [])
})

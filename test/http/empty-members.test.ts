// What a form sends for fields that were left empty: null and "" mean the same, and in all but a PATCH the same as absence.
// Walks every optional member of every JSON body of the OpenAPI document, so that new ones are covered.
import t, { type Test } from 'tap'
import { platformPolicy } from '../../src/policy/effective.ts'
import { createWorld } from '../support/world.ts'
import { type Operation, operationsOf } from './contract.ts'
import { makeSpare, matrix, pathOf, type Target } from './matrix.ts'

const world = await createWorld(t)
// In SCIM, RFC 7643 §2.5 says what null means.
const operations = (await operationsOf(world.app)).filter(
  ({ body, path }) => body && /json/.test(body.type) && !path.startsWith('/scim/'),
)
const { schemas } = (world.app.swagger() as any).components
const empties = [null, '']
let made = 0

const setPolicy = (body: object) => world.ask('PUT', '/v1/organizations/default/policy', { body })

type Member = { path: string[]; takesNull: boolean }

/** The optional members at every depth; those of lists are below the first item. */
function optionalMembers(given: any, path: string[] = []): Member[] {
  const { properties = {}, required = [], items } = given.$ref ? schemas[given.$ref.split('/').at(-1)] : given
  if (items) return optionalMembers(items, [...path, '0'])
  return Object.entries<any>(properties).flatMap(([name, member]) => {
    const takesNull = [member.type].flat().includes('null') || member.anyOf !== undefined
    const here = required.includes(name) ? [] : [{ path: [...path, name], takesNull }]
    return [...here, ...optionalMembers(member, [...path, name])]
  })
}

/** Values for the objects that contain optional members, which are valid as they are. */
const parents: Record<string, object> = {
  owner: { subject: 'u-1' },
  scope_details: [{ scope: 'a', label: 'A' }],
  jwks: { keys: [{ ...schemas.NewClientKeys.examples[0].jwks.keys[0], d: undefined }] },
}

/** The body with this value in place of the member; undefined removes it. */
function withMember(body: any, path: string[], value: unknown): any {
  const [name = '', ...rest] = path
  const copy = Array.isArray(body) ? [...body] : { ...body }
  if (rest.length > 0) copy[name] = withMember(body[name] ?? parents[name] ?? {}, rest, value)
  else if (value === undefined) delete copy[name]
  else copy[name] = value
  return copy
}

async function send(operation: Operation, target: Target, sent: object) {
  const callers: Record<string, () => Promise<string>> = {
    revokeSelf: async () => target.token.secret,
    rotateSelf: () => world.manager(['tokens:write']),
  }
  const token = (await callers[operation.id]?.()) ?? world.admin
  const answer = await world.ask(operation.method, pathOf(operation, target), { token, ...sent })
  if (operation.id === 'rotateSigningKey')
    await world.ask('POST', '/v1/signing-keys/rotate', { body: { immediately: true } })
  return answer
}

/** Without what is different every time. */
function comparable({ status, body }: { status: number; body: any }) {
  const { id, secret, hint, name, request_id, organization, kid, activates_at, ...rest } = body ?? {}
  const text = JSON.stringify(rest).replaceAll(
    /[\da-f]{8}-[\da-f-]{27}|login-\d+|(?<=tokens\.example\/)\d+|[a-z]+_\w{4}…\w{4}/g,
    '…',
  )
  return { status, body: JSON.parse(text) }
}

/** Null is a value there: no limit, or all users of the provider. */
const isNullAValue = ({ id }: Operation, { path, takesNull }: Member) =>
  (id === 'replacePolicy' && takesNull) || path.join('.') === 'claims.organization'

const usesUp = /^(revoke|rotate)/

const creating = operations.filter(({ method }) => method !== 'PATCH')
for (const operation of creating)
  t.test(`${operation.id}: null, "" and absence are the same`, async (t) => {
    let target = await makeSpare(world, operation.id, made++)
    // Other tests created tokens of the owner.
    if (operation.id === 'revokeOwnerTokens') await send(operation, target, {})
    // A token can then be created without a name and a type.
    const policy = { name: { required: false }, allowed_types: ['api'] }
    if (operation.id === 'createToken') await setPolicy(policy)
    t.teardown(() => setPolicy({}))
    for (const member of optionalMembers(operation.body?.schema)) {
      const { path } = member
      const answerTo = async (value: unknown) => {
        if (usesUp.test(operation.id)) target = await makeSpare(world, operation.id, made++)
        const given = matrix[operation.id]?.ask?.(target, 9000 + made++).body ?? {}
        // Either the keys or their URL.
        const base = path[0] === 'jwks' && path.length > 1 ? { jwks: parents.jwks } : given
        return comparable(await send(operation, target, { body: withMember(base, path, value) }))
      }
      const absent = await answerTo(undefined)
      // Optional in the schema, because other values of other members make it so.
      const isNeeded =
        /^(prefix|jwks_uri|secret|.*\.(crv|x))$/.test(path.join('.')) &&
        !/(TrustedIssuer|SignalStream)$/.test(operation.id)
      const { ok } = matrix[operation.id] ?? {}
      t.ok(
        isNeeded ? absent.status >= 400 : absent.status === ok,
        `${path.join('.')}: ${JSON.stringify(absent)}`,
      )
      for (const empty of empties)
        if (empty !== null || !isNullAValue(operation, member))
          t.same(await answerTo(empty), absent, `${path.join('.')}: ${JSON.stringify(empty)}`)
    }
  })

/** What a PATCH can clear, each with a value. */
const clearable: Record<string, () => object> = {
  updateToken: () => ({ comment: 'Why', metadata: { team: 'a' }, allowed_cidrs: ['192.0.2.0/24'] }),
  updateOrganization: () => ({}),
  updateWebhook: () => ({ description: 'Why', events: ['token.revoked'] }),
  updateOwner: () => ({ email: 'ada@example.com', external_id: '00u1' }),
  updatePolicy: () => ({
    ...platformPolicy,
    lifetime: {
      ...platformPolicy.lifetime,
      minimum_seconds: 60,
      maximum_days: 365,
      default_days: 30,
      presets_days: [30],
      allow_no_expiry: false,
    },
    limits: { active_per_owner: 5, active_per_organization: 500 },
    allowed_types: ['api'],
    rotation: { ...platformPolicy.rotation, every_days: 90 },
  }),
  ...Object.fromEntries(
    ['updateTokenType', 'updateOrganizationTokenType'].map((id) => [
      id,
      () => ({
        description: 'Why',
        allowed_scopes: ['a'],
        default_scopes: ['a'],
        scopes_required: true,
        scope_details: [{ scope: 'a', label: 'A', description: 'B' }],
        audience: ['https://a.example'],
        status_list: false,
        self_rotation: true,
        endpoint: 'https://a.example',
      }),
    ]),
  ),
}

const member = (value: any, path: string[]): unknown =>
  path.length === 0 ? value : member(value?.[path[0] as string], path.slice(1))

const patching = operations.filter(({ method }) => method === 'PATCH')
for (const operation of patching)
  t.test(`${operation.id}: null and "" clear a member, absence keeps it`, async (t: Test) => {
    t.teardown(() => setPolicy({}))
    const target = await makeSpare(world, operation.id, made++)
    const patch = async (body: object) => comparable(await send(operation, target, { body }))
    const full = clearable[operation.id]?.() ?? {}
    const state = ({ body }: any) => (operation.id === 'updatePolicy' ? body.own : body)
    const without = state(await patch({}))
    for (const { path } of optionalMembers(operation.body?.schema)) {
      const name = path.join('.')
      const fills = () => patch(full)
      if (path.includes('0')) continue
      if (member(full, path) === undefined) {
        for (const empty of empties) {
          const answer = await patch(withMember({}, path, empty))
          t.match(
            answer,
            { status: 400, body: { errors: [{ in: 'body', field: name }] } },
            `${name} cannot be cleared`,
          )
        }
        continue
      }
      await fills()
      t.same(member(state(await patch({})), path), member(full, path), `${name} is kept`)
      const cleared = []
      for (const empty of empties) {
        t.equal((await fills()).status, 200)
        cleared.push(await patch(withMember({}, path, empty)))
      }
      t.equal(cleared[0]?.status, 200, JSON.stringify(cleared[0]))
      t.same(cleared[0], cleared[1], name)
      t.same(member(state(cleared[0]), path), member(without, path), `${name} is as it was made`)
    }
  })

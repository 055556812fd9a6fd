import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ApplyError, openApi } from '../../src/apply/api.ts'
import { apply as applyTo, type Step, type WebhookSecret } from '../../src/apply/apply.ts'
import { readConfiguration } from '../../src/apply/file.ts'
import { platformPolicy } from '../../src/policy/effective.ts'
import { Secret } from '../../src/shared/secret.ts'
import { failureOf, resultOf } from '../support/command.ts'
import { freePort } from '../support/process.ts'
import { recordSecret } from '../support/records.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
const folder = await mkdtemp(join(tmpdir(), 'counterfoil-apply-'))
t.teardown(() => rm(folder, { recursive: true }))

async function save(name: string, content: unknown): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, typeof content === 'string' ? content : JSON.stringify(content))
  return path
}

/** Applies the content as the administrator; the steps that were taken, and the error that ended them. */
async function apply(content: unknown, { dryRun = false, token = world.admin, keepsSecrets = true } = {}) {
  const steps: Step[] = []
  const secrets: WebhookSecret[] = []
  const api = openApi({ url, token: new Secret(token) })
  try {
    await applyTo(api, readConfiguration(await save('here.yaml', content)), {
      dryRun,
      onStep: (step) => steps.push(step),
      keepSecret: keepsSecrets ? (secret) => secret && secrets.push(secret) : undefined,
    })
    return { steps, secrets, error: undefined }
  } catch (error) {
    return { steps, secrets, error: error as Error }
  }
}

const unchanged = { steps: [], secrets: [], error: undefined }

const names = (steps: Step[]) => steps.map(({ action, resource }) => `${action} ${resource}`)

const read = async (path: string) => (await world.ask('GET', path)).body

const shop = `
token_types:
  - name: shop
    prefix: shp
    allowed_scopes: [orders:read, orders:write]
organizations:
  - key: shop
    name: The shop
    policy:
      lifetime: { maximum_days: 90, on_too_long: reduce }
    issuers:
      - name: Sign-in of the shop
        issuer: https://login.shop.example
        audience: counterfoil
        claims: { groups: roles }
`

t.test('apply creates what the file names, and then finds nothing to change', async (t) => {
  const { steps, error } = await apply(shop)
  t.equal(error, undefined)
  t.same(names(steps), [
    'create token type shop',
    'create organization shop',
    'change policy of shop',
    'create issuer https://login.shop.example of shop',
  ])
  t.match(await read('/v1/token-types/shop'), {
    prefix: 'shp',
    allowed_scopes: ['orders:read', 'orders:write'],
  })
  t.match(await read('/v1/organizations/shop'), { name: 'The shop' })
  t.same((await read('/v1/organizations/shop/policy')).own, {
    lifetime: { maximum_days: 90, on_too_long: 'reduce' },
  })
  t.match((await read('/v1/organizations/shop/issuers')).items, [
    { issuer: 'https://login.shop.example', claims: { groups: 'roles', subject: 'sub' } },
  ])
  t.same(await apply(shop), unchanged)
})

const changed = {
  token_types: [{ name: 'shop', description: 'For the shop' }],
  organizations: [
    {
      key: 'shop',
      name: 'The other shop',
      policy: { lifetime: { on_too_long: null }, name: { minimum_length: 8 } },
      issuers: [
        {
          name: 'Another name',
          issuer: 'https://login.shop.example',
          audience: 'counterfoil',
          claims: { email: 'mail' },
        },
      ],
    },
  ],
}

t.test('apply changes what differs, and keeps what the file leaves out', async (t) => {
  const dryRun = await apply(changed, { dryRun: true })
  t.match(await read('/v1/organizations/shop'), { name: 'The shop' }, 'a dry run changes nothing')

  const { steps, error } = await apply(changed)
  t.equal(error, undefined)
  t.same(steps, dryRun.steps, 'and shows what would be done')
  t.same(steps.slice(0, 3), [
    {
      action: 'change',
      resource: 'token type shop',
      differences: [{ member: 'description', from: null, to: 'For the shop' }],
    },
    {
      action: 'change',
      resource: 'organization shop',
      differences: [{ member: 'name', from: 'The shop', to: 'The other shop' }],
    },
    {
      action: 'change',
      resource: 'policy of shop',
      differences: [
        { member: 'lifetime.on_too_long', from: 'reduce', to: null },
        { member: 'name.minimum_length', from: null, to: 8 },
      ],
    },
  ])
  t.match(await read('/v1/token-types/shop'), { description: 'For the shop', prefix: 'shp' })
  t.same((await read('/v1/organizations/shop/policy')).own, {
    lifetime: { maximum_days: 90 },
    name: { minimum_length: 8 },
  })
  t.match((await read('/v1/organizations/shop/issuers')).items, [
    { name: 'Another name', claims: { groups: 'roles', email: 'mail' } },
  ])
  t.same(await apply(changed), unchanged)
})

t.test('a list of objects is compared with the members that its items leave out', async (t) => {
  const details = (...scope_details: object[]) => ({
    token_types: [{ name: 'listed', prefix: 'l', scope_details }],
  })
  const reading = { scope: 'read', label: 'Read' }
  await apply(details(reading))
  t.same(await apply(details(reading)), unchanged)
  const described = { ...reading, description: 'Only reads' }
  t.match(await apply(details(described)), { steps: { length: 1 } })
  t.match(await apply(details(reading)), { steps: { length: 1 } }, 'which removes the description')
  t.match((await read('/v1/token-types/listed')).scope_details, [{ ...reading, description: null }])
  t.match(await apply(details(reading, { scope: 'write', label: 'Write' })), { steps: { length: 1 } })
})

t.test('a policy with every member is applied once', async (t) => {
  const content = { organizations: [{ key: 'whole', name: 'Whole', policy: platformPolicy }] }
  t.match(await apply(content), { steps: { length: 2 }, error: undefined })
  t.same(await apply(content), unchanged)
})

t.test('the next run completes one that failed half-way', async (t) => {
  const organization = { key: 'halfway', name: 'Half-way' }
  const issuers = [{ name: 'X', issuer: 'https://one.example', audience: 'x' }]
  const refused = { lifetime: { minimum_days: 9, maximum_days: 8 } }
  const first = await apply({ organizations: [{ ...organization, policy: refused, issuers }] })
  t.match(first.error?.message, /^PATCH \/v1\/organizations\/halfway\/policy: 4\d\d .+minimum_days/)
  const second = await apply({ organizations: [{ ...organization, issuers }] })
  t.match(second, { error: undefined })
  t.same(names(second.steps), ['create issuer https://one.example of halfway'])
})

const hooks = (...webhooks: object[]) => ({ organizations: [{ key: 'hooked', name: 'Hooked', webhooks }] })
const hook = { url: 'https://hooks.example/tickets', events: ['token.revoked', 'token.created'] }
const webhooks = '/v1/organizations/hooked/webhooks'

t.test('a webhook is created once, and hands out its secret then', async (t) => {
  const content = hooks({ ...hook, description: '' }, { url: 'https://other.example/', signature: 'ed25519' })
  t.same((await apply(content, { dryRun: true })).secrets, [])
  const refused = await apply(content, { keepsSecrets: false })
  t.match(refused.error?.message, /webhook https:\/\/hooks\.example of hooked .+--secrets-file/)
  t.same((await read(webhooks)).items, [])
  const { secrets, error } = await apply(content)
  t.equal(error, undefined)
  t.match(secrets, [{ organization: 'hooked', url: hook.url, secret: /^whsec_/ }])
  t.equal(secrets.length, 1, 'ed25519 needs no secret')
  for (const { secret } of secrets) recordSecret(secret)
  t.match((await read(webhooks)).items, [
    { ...hook, id: secrets[0]?.webhook, signature: 'hmac' },
    { url: 'https://other.example/', signature: 'ed25519', events: null },
  ])
  t.same(await apply(content), unchanged)
})

t.test('a webhook is paused, changed and enabled, but keeps its signature', async (t) => {
  const changes = { ...hook, description: 'Tickets', events: null, paused: true }
  const { steps } = await apply(hooks(changes))
  t.same(
    steps[0]?.differences.map(({ member }) => member),
    ['events', 'description', 'paused'],
  )
  t.match((await read(webhooks)).items[0], { description: 'Tickets', events: null, status: 'paused' })
  t.same(await apply(hooks(changes)), unchanged)
  t.same(await apply(hooks({ url: hook.url })), unchanged, 'what is left out stays')
  await apply(hooks({ url: hook.url, paused: false }))
  t.match((await read(webhooks)).items[0], { status: 'active' })
  const resigned = await apply(hooks({ url: hook.url, signature: 'ed25519' }))
  t.match(resigned.error?.message, /signature hmac, which never changes/)
  const born = { url: 'https://paused.example/', signature: 'ed25519', paused: true }
  await apply(hooks(born))
  t.same(await apply(hooks(born)), unchanged)
  t.match((await read(webhooks)).items[2], { status: 'paused' })
})

t.test('the path of a URL, which may be a secret, is not shown; the platform has webhooks too', async (t) => {
  const everything = { url: 'https://every.example/s3cret', signature: 'ed25519' }
  const content = { organizations: [{ key: 'platform', name: 'Platform', webhooks: [everything] }] }
  const { steps, error } = await apply(content)
  t.equal(error, undefined)
  t.same(names(steps), ['create webhook https://every.example of platform'])
  t.notMatch(JSON.stringify(steps), /s3cret/)
  t.same(await apply(content), unchanged)
})

t.test('of two webhooks with one URL, the file means neither', async (t) => {
  await world.ask('POST', webhooks, { body: { url: hook.url, signature: 'ed25519' } })
  t.match((await apply(hooks({ url: hook.url }))).error?.message, /There are several .+ delete all but one/)
})

const list = (anchor: string) => `[${`${anchor},`.repeat(9)}]`

t.test('a file that cannot be applied changes nothing, and the message says what is wrong', async (t) => {
  const wrong: [string, unknown, RegExp][] = [
    ['an unknown member', { organisations: [] }, /organisations .+did you mean organizations\?/],
    ['an unknown member within', { token_types: [{ name: 'x1', prefx: 'x' }] }, /token_types\.0\.prefx/],
    ['a missing member', { organizations: [{ key: 'acme' }] }, /organizations\.0\.name is required/],
    ['a value of another type', { organizations: [{ key: 7, name: 'x' }] }, /organizations\.0\.key must be/],
    ['a list instead of an object', [], /must be object/],
    ['broken YAML', 'token_types: [', /is not valid YAML: .+ at line 1/],
    [
      'a type that exists with another format',
      { token_types: [{ name: 'api', format: 'jwt' }] },
      /has format "opaque"/,
    ],
    [
      'aliases that multiply',
      `a: &a ${list('x')}\nb: &b ${list('*a')}\nc: &c ${list('*b')}\nd: ${list('*c')}`,
      /alias count/,
    ],
  ]
  const latest = async () => (await read('/v1/organizations/platform/audit-events')).items[0].id
  const before = await latest()
  for (const [what, content, says] of wrong) {
    const { error } = await apply(content)
    t.type(error, ApplyError, what)
    t.match(error?.message, says, what)
    t.notMatch(error?.message, /\n/, what)
  }
  t.equal(await latest(), before)
})

t.test('apply can do no more than its token', async (t) => {
  const content = { organizations: [{ key: 'unreached', name: 'Unreached' }] }
  const token = await world.manager(['tokens:read'])
  t.match((await apply(content, { token })).error?.message, /403/)
  const { error } = await apply(content, { token: 'not-the-token-of-the-administrator' })
  t.match(error?.message, /401/)
  t.notMatch(error?.message, /not-the-token/)
  t.equal((await world.ask('GET', '/v1/organizations/unreached')).status, 404)
})

t.test('the command prints what it does, as text or as JSON', async (t) => {
  const file = await save('command.yaml', 'organizations: [{ key: command, name: Command }]')
  const token = await save('token', `${world.admin}\n`)
  const target = [file, '--url', `${url}/`, '--token-file', token]
  const created = 'create organization command\n    key: "command"\n    name: "Command"\n'
  t.same(await resultOf(['apply', ...target, '--dry-run']), {
    code: 0,
    output: `${created}Nothing was changed: this was a dry run.\n`,
  })
  t.same(await resultOf(['apply', ...target]), { code: 0, output: created })
  t.same(await resultOf(['apply', ...target]), {
    code: 0,
    output: 'Nothing to change: the service matches the file.\n',
  })
  const { output } = await resultOf(['apply', file, '--url', url, '--json'], { ADMIN_TOKEN: world.admin })
  t.same(JSON.parse(output), [])
})

t.test('a file or a service that cannot be used ends the command with a sentence', async (t) => {
  const file = await save('any.yaml', 'token_types: [{ name: shop }]')
  const nowhere = ['--url', `http://127.0.0.1:${await freePort()}`]
  const wrong: [string[], number, RegExp][] = [
    [[join(folder, 'nonesuch')], 78, /nonesuch/],
    [[await save('list.yaml', '[]'), ...nowhere], 78, /must be object/],
    [[file, ...nowhere], 69, /The service at .+ cannot be reached: .*ECONNREFUSED/],
    [[], 64, /needs a file/],
    [[file, '--immediately'], 64, /--immediately is not an option of apply/],
  ]
  for (const [args, code, says] of wrong) {
    const failure = await failureOf(['apply', ...args], { ADMIN_TOKEN: world.admin })
    t.equal(failure.code, code)
    t.match(failure.message, /^[^\n]+$/)
    t.match(failure.message, says)
  }
})

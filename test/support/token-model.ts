import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'

const dayMs = 24 * 60 * 60 * 1000

export type ModelPolicy = {
  lifetime: {
    presets_days: number[]
    minimum_days: number
    maximum_days: number | null
    on_too_long: 'refuse' | 'reduce'
    allow_no_expiry: boolean
    default_days: number | null
  }
  name: { required: boolean; minimum_length: number; unique: boolean }
  limits: { active_per_owner: number | null; active_per_organization: number | null }
  creation: { sso_users: boolean }
  delete: { confirm_name: boolean }
}

export type ModelToken = {
  id: string
  name: string
  owner: string | null
  expiresAt: number | null
  revoked: boolean
}

export type NewModelToken = { name?: string; owner: string | null; days?: number | null }

/** A simple model of what Counterfoil should do, without a database. */
export class TokenModel {
  tokens: ModelToken[] = []
  events: [action: string, target: string][] = []
  policy: ModelPolicy | undefined
  now: number
  readonly organizationId: string

  constructor(organizationId: string, now: number) {
    this.organizationId = organizationId
    this.now = now
  }

  isLive(token: ModelToken): boolean {
    return !token.revoked && (token.expiresAt === null || token.expiresAt > this.now)
  }

  status(token: ModelToken): string {
    return token.revoked ? 'revoked' : this.isLive(token) ? 'active' : 'expired'
  }

  setPolicy(policy: ModelPolicy): void {
    if (!isDeepStrictEqual(policy, this.policy)) this.events.push(['policy.updated', this.organizationId])
    this.policy = policy
  }

  /** The error codes that apply; it must succeed if there are none. */
  againstCreating({ name, owner, days }: NewModelToken): string[] {
    const { lifetime, name: names, limits, creation } = this.given()
    const asked = days === undefined ? lifetime.default_days : days
    const tooLong = asked !== null && lifetime.maximum_days !== null && asked > lifetime.maximum_days
    const live = this.tokens.filter((token) => this.isLive(token))
    const owned = live.filter((token) => token.owner === owner)
    return [
      ...(owner?.startsWith('sso') && !creation.sso_users ? ['creation_disabled'] : []),
      ...(name === undefined && names.required ? ['invalid_value'] : []),
      ...(name !== undefined ? this.againstName(name) : []),
      ...(asked === null && !lifetime.allow_no_expiry && !this.isReduced(days) ? ['invalid_value'] : []),
      ...(asked !== null && asked < lifetime.minimum_days ? ['invalid_value'] : []),
      ...(tooLong && lifetime.on_too_long === 'refuse' ? ['invalid_value'] : []),
      ...(owner !== null && owned.length >= (limits.active_per_owner ?? Infinity) ? ['limit_reached'] : []),
      ...(live.length >= (limits.active_per_organization ?? Infinity) ? ['limit_reached'] : []),
    ]
  }

  create({ id, name }: { id: string; name: string }, { owner, days }: NewModelToken): ModelToken {
    const { default_days, maximum_days } = this.given().lifetime
    const asked = days === undefined ? default_days : days
    const granted =
      asked === null
        ? this.isReduced(days)
          ? maximum_days
          : null
        : Math.min(asked, maximum_days ?? Infinity)
    const expiresAt = granted === null ? null : this.now + granted * dayMs
    const token = { id, name, owner, expiresAt, revoked: false }
    this.tokens.push(token)
    this.events.push(['token.created', id])
    return token
  }

  /** Whether a request for no expiry gets the longest lifetime instead. */
  private isReduced(days: number | null | undefined): boolean {
    const { allow_no_expiry, maximum_days, on_too_long } = this.given().lifetime
    return days === null && !allow_no_expiry && maximum_days !== null && on_too_long === 'reduce'
  }

  againstRenaming(token: ModelToken, name: string): string[] {
    return name === token.name ? [] : this.againstName(name, token)
  }

  rename(token: ModelToken, name: string): void {
    if (name !== token.name) this.events.push(['token.updated', token.id])
    token.name = name
  }

  revoke(token: ModelToken): void {
    if (!token.revoked) this.events.push(['token.revoked', token.id])
    token.revoked = true
  }

  revokeAllOf(owner: string): number {
    const live = this.tokens.filter((token) => token.owner === owner && this.isLive(token))
    for (const token of live) this.revoke(token)
    return live.length
  }

  delete(token: ModelToken): void {
    this.tokens.splice(this.tokens.indexOf(token), 1)
    this.events.push(['token.deleted', token.id])
  }

  given(): ModelPolicy {
    if (!this.policy) throw new Error('the model begins with a policy')
    return this.policy
  }

  private againstName(name: string, self?: ModelToken): string[] {
    const { minimum_length, unique } = this.given().name
    const same = (token: ModelToken) => token !== self && token.name.toLowerCase() === name.toLowerCase()
    return [
      ...(name.length < minimum_length ? ['invalid_value'] : []),
      ...(unique && this.tokens.some(same) ? ['name_taken'] : []),
    ]
  }
}

const name = fc.constantFrom('Alpha', 'ALPHA', 'alpha beta', 'Beta', 'B')
export const owners = ['ada', 'bob', 'sso-sally'] as const
const owner = fc.constantFrom(...owners)
const limit = fc.constantFrom(null, 1, 2, 4)

export const anyPolicy: fc.Arbitrary<ModelPolicy> = fc
  .record({
    minimum: fc.constantFrom(1, 5),
    maximum: fc.constantFrom(null, 10, 30),
    on_too_long: fc.constantFrom('refuse' as const, 'reduce' as const),
    forever: fc.boolean(),
    default_days: fc.constantFrom(null, 7),
    name: fc.record({
      required: fc.boolean(),
      minimum_length: fc.constantFrom(1, 5),
      unique: fc.boolean(),
    }),
    limits: fc.record({ active_per_owner: limit, active_per_organization: limit }),
    creation: fc.record({ sso_users: fc.boolean() }),
    delete: fc.record({ confirm_name: fc.boolean() }),
  })
  // Without the null prototypes that records may have: they would make equal policies differ.
  .map((policy): typeof policy => JSON.parse(JSON.stringify(policy)))
  .map(({ minimum, maximum, forever, on_too_long, default_days, ...rest }) => ({
    ...rest,
    lifetime: {
      presets_days: [7, 10],
      minimum_days: minimum,
      maximum_days: maximum,
      on_too_long,
      allow_no_expiry: forever && maximum === null,
      default_days,
    },
  }))

const pick = fc.nat({ max: 20 })
const create = fc.record({
  kind: fc.constant('create' as const),
  token: fc.record(
    {
      name,
      owner: fc.option(owner),
      days: fc.constantFrom(null, 1, 3, 7, 20, 40),
    },
    { requiredKeys: ['owner'] },
  ),
})

/** One step; `pick` selects the token. */
export const anyStep = fc.oneof(
  { weight: 6, arbitrary: create },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('rename' as const), pick, name }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('revoke' as const), pick }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), pick, confirm: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke all' as const), owner }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), days: fc.integer({ min: 1, max: 8 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('policy' as const), policy: anyPolicy }) },
)

export type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never

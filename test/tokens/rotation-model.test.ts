// Any sequence of rotations, uses and changes of the clock, on two instances, against a simple model of what is good.
import { deepEqual, equal, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { Secret } from '../../src/shared/secret.ts'
import { type Instance, startInstance } from '../support/credentials.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const hour = 60 * 60 * 1000
const { activate, presented } = world.rotations
const other: Instance = await startInstance(t, world, { activate, onEnded: presented })

const maximumOverlap = 7 * 24
await world.ask('PUT', '/v1/organizations/default/policy', {
  body: { rotation: { maximum_overlap_seconds: maximumOverlap * 3600, first_use_within_days: 2 } },
})

type ModelSecret = { secret: string; used: boolean }

/** The secrets of one token, without a database. */
class RotationModel {
  current: ModelSecret
  overlapping: (ModelSecret & { until: number }) | undefined
  pending: (ModelSecret & { lapses: number; overlap: number }) | undefined
  revoked = false
  readonly secrets: string[]

  constructor(secret: string) {
    this.current = { secret, used: false }
    this.secrets = [secret]
  }

  good(now: number): string[] {
    if (this.revoked) return []
    return [this.current.secret, ...(this.overlap(now) ? [this.overlapping?.secret as string] : [])]
  }

  overlap(now: number): boolean {
    return this.overlapping !== undefined && this.overlapping.until > now
  }

  /** The code of the error that a rotation fails with. */
  againstRotating(activation: string, overlap: number, now: number): string | undefined {
    if (this.revoked) return 'not_rotatable'
    const refused = activation === 'now' && overlap > 0 && this.overlap(now) && this.current.used
    return refused ? 'rotation_in_progress' : undefined
  }

  rotate(secret: string, activation: string, overlap: number, now: number): void {
    this.secrets.push(secret)
    if (activation === 'first_use') {
      this.pending = { secret, used: false, overlap, lapses: now + 2 * day }
      return
    }
    this.pending = undefined
    if (this.overlapping && overlap > 0 && this.overlap(now))
      this.overlapping.until = Math.max(this.overlapping.until, now + overlap)
    else this.supersede(overlap, now)
    this.current = { secret, used: false }
  }

  /** Whether the secret is accepted. */
  use(secret: string, now: number): boolean {
    if (!this.revoked && this.pending?.secret === secret && this.pending.lapses > now) {
      this.supersede(this.pending.overlap, now)
      this.current = { secret, used: true }
      this.pending = undefined
    }
    if (this.current.secret === secret && !this.revoked) this.current.used = true
    return this.good(now).includes(secret)
  }

  private supersede(overlap: number, now: number): void {
    this.overlapping = overlap > 0 ? { ...this.current, until: now + overlap } : undefined
  }
}

const pick = fc.nat({ max: 10 })
const instance = fc.constantFrom('first' as const, 'second' as const)
const anyStep = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('rotate' as const),
      activation: fc.constantFrom('now', 'first_use'),
      hours: fc.constantFrom(0, 1, 30),
    }),
  },
  { weight: 18, arbitrary: fc.record({ kind: fc.constant('use' as const), pick, instance }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('finish' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('cancel' as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('maintain' as const) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('race' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), hours: fc.constantFrom(0.5, 1, 29, 48) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('revoke' as const) }) },
)
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never

const activeOn = {
  first: async (secret: string) => (await world.introspect(secret)).active as boolean,
  async second(secret: string) {
    // What was acknowledged before is known there, within the bound that test/credentials/ tests.
    await other.credentials.settled()
    const { now } = world.clock
    const found = await other.credentials.verify(new Secret(secret), now)
    if (found) world.usage.note(found, now, null)
    return found !== undefined
  },
}

async function run(steps: Step[]): Promise<void> {
  const token = await world.issue()
  const path = `/v1/organizations/default/tokens/${token.id}`
  const model = new RotationModel(token.secret)
  const now = () => world.clock.now.getTime()

  async function apply(step: Step): Promise<void> {
    if (step.kind === 'wait') world.clock.advance(step.hours * hour)
    else if (step.kind === 'maintain') await world.rotations.flush()
    else if (step.kind === 'revoke') {
      equal((await world.ask('POST', `${path}/revoke`)).status, 200)
      model.revoked = true
    } else if (step.kind === 'rotate') await rotate(step)
    else if (step.kind === 'use') await use(step)
    else if (step.kind === 'race') await race()
    else if (step.kind === 'finish') {
      equal((await world.ask('POST', `${path}/rotate/finish`)).status, 200)
      model.overlapping = undefined
    } else {
      const answer = await world.ask('POST', `${path}/rotate/cancel`)
      const pending = model.pending && model.pending.lapses > now()
      equal(answer.body.code, pending ? undefined : 'not_pending')
      model.pending = undefined
    }
  }

  async function rotate({ activation, hours }: Step & { kind: 'rotate' }): Promise<void> {
    await world.usage.flush()
    const body = { activation, overlap_seconds: hours * 3600 }
    const answer = await world.ask('POST', `${path}/rotate`, { body })
    equal(answer.body.code, model.againstRotating(activation, hours * hour, now()), answer.text)
    if (answer.status === 200) model.rotate(answer.body.secret, activation, hours * hour, now())
  }

  async function use({ pick, instance }: Step & { kind: 'use' }): Promise<void> {
    const secret = model.secrets[pick % model.secrets.length] as string
    equal(await activeOn[instance](secret), model.use(secret, now()))
  }

  /** Both instances see the pending secret at once. */
  async function race(): Promise<void> {
    const { secret } = model.pending ?? model.current
    const answers = await Promise.all([activeOn.first(secret), activeOn.second(secret)])
    const expected = model.use(secret, now())
    deepEqual(answers, [expected, expected])
  }

  /** Exactly the secrets of the model are good, on both instances. Looking counts as no use, and must not activate the pending one. */
  async function check(): Promise<void> {
    const good = model.good(now())
    ok(model.revoked || good.length >= 1, 'no rotation leaves a token without a good secret')
    ok(good.length <= 2)
    for (const secret of model.secrets) {
      if (secret === model.pending?.secret) continue
      for (const credentials of [world.credentials, other.credentials]) {
        await credentials.settled()
        const found = await credentials.verify(new Secret(secret), world.clock.now)
        equal(found !== undefined, good.includes(secret))
      }
    }
    const { items } = (await world.ask('GET', `${path}/secrets`)).body
    const count = (status: string) => items.filter((one: any) => one.status === status).length
    equal(count('current'), 1)
    equal(count('overlapping'), model.overlap(now()) ? 1 : 0)
    equal(count('pending'), model.pending && model.pending.lapses > now() ? 1 : 0)
  }

  for (const step of steps) {
    await apply(step)
    await check()
  }
}

t.test('any sequence keeps at least one secret good, at most two, and none that ended', async (t) => {
  let runs = 0
  const steps = fc.array(anyStep, { minLength: 5, maxLength: 15, size: 'max' })
  const property = fc.asyncProperty(steps, async (steps) => {
    runs++
    await run(steps)
  })
  await fc.assert(property, { numRuns: 25 })
  t.ok(runs >= 25)
})

import fc from 'fast-check'
import { day } from './world.ts'

export const hour = 60 * 60 * 1000

/** In place of the id of a secret whose response was lost, until it is read back. */
export const lostId = 'lost'

type Secret = {
  /** Undefined: the response with it was lost. */
  secret: string | undefined
  id: string | undefined
  used: boolean
}

/** What of a token can be read back, with the ids of secrets. */
export type View = {
  current: string | undefined
  overlapping: string | undefined
  pending: string | undefined
  revoked: boolean
  suspended: string[]
}

/** The secrets of one token, without a database. */
export class RotationModel {
  current: Secret
  overlapping: (Secret & { until: number }) | undefined
  pending: (Secret & { lapses: number; overlap: number }) | undefined
  revoked = false
  rotations = 0
  readonly suspended = new Set<'organization' | 'owner'>()
  /** All that were ever shown, the newest last. */
  readonly secrets: string[]

  constructor(secret: string, id: string) {
    this.current = { secret, id, used: false }
    this.secrets = [secret]
  }

  clone(): RotationModel {
    return Object.assign(Object.create(RotationModel.prototype), structuredClone({ ...this }))
  }

  good(now: number): (string | undefined)[] {
    if (this.revoked || this.suspended.size > 0) return []
    return [this.current.secret, ...(this.overlap(now) ? [this.overlapping?.secret] : [])]
  }

  overlap(now: number): boolean {
    return this.overlapping !== undefined && this.overlapping.until > now
  }

  isPending(now: number): boolean {
    return this.pending !== undefined && this.pending.lapses > now
  }

  view(now: number): View {
    return {
      current: this.current.id,
      overlapping: this.overlap(now) ? this.overlapping?.id : undefined,
      pending: this.isPending(now) ? this.pending?.id : undefined,
      revoked: this.revoked,
      suspended: [...this.suspended].sort(),
    }
  }

  /** The code of the error that a rotation fails with. */
  againstRotating({ activation, hours }: Rotation, now: number): string | undefined {
    if (this.suspended.size > 0) return 'suspended'
    if (this.revoked) return 'not_rotatable'
    const rejected = activation === 'now' && hours > 0 && this.overlap(now) && this.current.used
    return rejected ? 'rotation_in_progress' : undefined
  }

  rotate(made: Pick<Secret, 'secret' | 'id'>, { activation, hours }: Rotation, now: number): void {
    const overlap = hours * hour
    this.rotations += 1
    if (made.secret !== undefined) this.secrets.push(made.secret)
    if (activation === 'first_use') {
      this.pending = { ...made, used: false, overlap, lapses: now + 2 * day }
      return
    }
    this.pending = undefined
    if (this.overlapping && overlap > 0 && this.overlap(now))
      this.overlapping.until = Math.max(this.overlapping.until, now + overlap)
    else this.supersede(overlap, now)
    this.current = { ...made, used: false }
  }

  /** Whether the secret is accepted. */
  use(secret: string, now: number): boolean {
    const stopped = this.revoked || this.suspended.size > 0
    if (!stopped && this.pending?.secret === secret && this.pending.lapses > now) {
      const { id, overlap } = this.pending
      this.supersede(overlap, now)
      this.current = { secret, id, used: true }
      this.pending = undefined
    }
    if (this.current.secret === secret && !stopped) this.current.used = true
    return this.good(now).includes(secret)
  }

  apply(change: Change): void {
    if (change.kind === 'finish') this.overlapping = undefined
    else if (change.kind === 'cancel') this.pending = undefined
    else if (change.kind === 'revoke') this.revoked = true
    else if (change.kind === 'suspend') this.suspended.add(change.what)
    else this.suspended.delete(change.what)
  }

  private supersede(overlap: number, now: number): void {
    this.overlapping = overlap > 0 ? { ...this.current, until: now + overlap } : undefined
  }
}

const of = <Kind extends string>(kind: Kind) => fc.record({ kind: fc.constant(kind) })
const what = fc.constantFrom('organization' as const, 'owner' as const)
/** Counted from the newest, which are the interesting ones. */
const pick = fc.constantFrom(0, 0, 0, 0, 1, 1, 2, 3)
const on = fc.constantFrom('first' as const, 'second' as const)

const rotation = fc.record({
  kind: fc.constant('rotate' as const),
  activation: fc.constantFrom('now' as const, 'first_use' as const),
  hours: fc.constantFrom(0, 1, 30),
})
const change = fc.oneof(
  { weight: 4, arbitrary: of('finish') },
  { weight: 4, arbitrary: of('cancel') },
  { weight: 1, arbitrary: of('revoke') },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('suspend' as const), what }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('resume' as const), what }) },
)
const use = fc.record({ kind: fc.constant('use' as const), pick, on })

export type Rotation = typeof rotation extends fc.Arbitrary<infer T> ? T : never
export type Change = typeof change extends fc.Arbitrary<infer T> ? T : never

/** What an instance may be doing when it crashes. */
const interrupted = fc.oneof(
  { weight: 4, arbitrary: rotation },
  { weight: 2, arbitrary: change },
  { weight: 2, arbitrary: use },
  { weight: 1, arbitrary: of('create') },
  { weight: 1, arbitrary: of('import') },
)
export type Interrupted = typeof interrupted extends fc.Arbitrary<infer T> ? T : never

export const anyStep = fc.oneof(
  { weight: 16, arbitrary: rotation },
  { weight: 18, arbitrary: use },
  { weight: 8, arbitrary: change },
  { weight: 3, arbitrary: of('maintain') },
  { weight: 4, arbitrary: of('race') },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), hours: fc.constantFrom(0.5, 1, 29, 48) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('import again' as const), pick }) },
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('unheard' as const), change: fc.oneof(rotation, change) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('crash' as const),
      during: interrupted,
      messages: fc.integer({ min: 1, max: 9 }),
      keyed: fc.boolean(),
    }),
  },
)
export type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never

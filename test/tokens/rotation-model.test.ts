// Any sequence of changes, uses, lost notifications and changes of the clock, on two instances of the service over
// one database, against a simple model of which secrets are good.
import { deepEqual, equal, ok } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { Secret } from '../../src/shared/secret.ts'
import { createTime } from '../support/credentials.ts'
import { importInto, sha256 } from '../support/import.ts'
import { createProxy } from '../support/proxy.ts'
import {
  anyStep,
  type Change,
  hour,
  type Rotation,
  RotationModel,
  type Step,
  type View,
} from '../support/rotation-model.ts'
import { until } from '../support/until.ts'
import { type Answer, createWorld, type World } from '../support/world.ts'

const first = await createWorld(t)
/** From which the second instance hears of changes. */
const toListener = await createProxy(t, first.databaseUrl)
const time = createTime()
const second = await createWorld(t, {
  databaseUrl: first.databaseUrl,
  signing: first.signing,
  hot: { ...time, listenUrl: toListener.url },
})
const instances = { first, second }
const token = first.admin

const now = () => first.clock.now.getTime()
function advance(ms: number): void {
  for (const { clock } of [first, second]) clock.advance(ms)
}

/** Until the second instance answers from memory. */
async function holdLease(): Promise<void> {
  await until(() => {
    time.tick()
    return second.credentials.status().held
  })
}
await holdLease()

let runs = 0

/** A token of an organization and an owner of its own, created or imported. */
async function run(imported: boolean, steps: Step[]): Promise<void> {
  const key = `model-${++runs}`
  const base = `/v1/organizations/${key}`
  await first.ask('POST', '/v1/organizations', { body: { key, name: key } })
  const rules = { rotation: { maximum_overlap_seconds: 7 * 24 * 3600, first_use_within_days: 2 } }
  await first.ask('PUT', `${base}/policy`, { body: rules })
  const owner = { subject: 'u-1', identity_source: 'internal' }
  const { id, secret } = await begin()
  const path = `${base}/tokens/${id}`
  const model = new RotationModel(secret, id)

  async function begin(): Promise<{ id: string; secret: string }> {
    if (!imported) return first.issue({ owner }, key)
    const secret = randomBytes(24).toString('base64url')
    const line = { sha256: sha256(secret), type: 'api', name: 'Imported', owner }
    const { results } = await importInto(first, [line], { organization: key })
    return { id: results[0].token, secret }
  }

  async function apply(step: Step): Promise<void> {
    if (step.kind === 'wait') advance(step.hours * hour)
    else if (step.kind === 'maintain') await first.rotations.flush()
    else if (step.kind === 'rotate') await rotate(step)
    else if (step.kind === 'use') await use(step)
    else if (step.kind === 'race') await race()
    else if (step.kind === 'import again') await importAgain(step.pick)
    else if (step.kind === 'unheard') await unheard(step.change)
    else await change(step)
  }

  async function rotate(rotation: Rotation): Promise<void> {
    await flushUses()
    const expected = model.againstRotating(rotation, now())
    const { status, body, text } = await send(first, rotation)
    equal(body.code, expected, text)
    if (status === 200) model.rotate({ secret: body.secret, id: body.secrets[0].id }, rotation, now())
  }

  async function change(asked: Change): Promise<void> {
    const { status, body, text } = await send(first, asked)
    if (asked.kind !== 'cancel') equal(status, 200, text)
    else equal(body.code, model.isPending(now()) ? undefined : 'not_pending')
    model.apply(asked)
  }

  function send({ ask }: World, asked: Rotation | Change): Promise<Answer> {
    if (asked.kind === 'rotate') {
      const body = { activation: asked.activation, overlap_seconds: asked.hours * 3600 }
      return ask('POST', `${path}/rotate`, { token, body })
    }
    if (asked.kind === 'revoke') return ask('POST', `${path}/revoke`, { token })
    if (asked.kind === 'suspend' || asked.kind === 'resume')
      return ask('POST', `${base}${asked.what === 'owner' ? '/owners/u-1' : ''}/${asked.kind}`, { token })
    return ask('POST', `${path}/rotate/${asked.kind}`, { token })
  }

  const secretAt = (pick: number) => model.secrets.at(-1 - (pick % model.secrets.length)) as string

  async function use({ pick, on }: Step & { kind: 'use' }): Promise<void> {
    const secret = secretAt(pick)
    equal((await instances[on].introspect(secret, token)).active, model.use(secret, now()))
  }

  /** Both instances see the pending secret at once. */
  async function race(): Promise<void> {
    const secret = model.pending?.secret ?? model.current.secret
    const answers = await Promise.all([first, second].map(({ introspect }) => introspect(secret, token)))
    const active = model.use(secret, now())
    deepEqual(
      answers.map((answer) => answer.active),
      [active, active],
    )
  }

  /** Importing the hash of a secret that the token has or had makes no token, and no secret good again. */
  async function importAgain(pick: number): Promise<void> {
    const kept = [model.current, model.overlapping, { secret }].flatMap((one) => one?.secret ?? [])
    const again = kept.at(-1 - (pick % kept.length)) as string
    const line = { sha256: sha256(again), type: 'api', name: 'Again', owner }
    const { status, body, results } = await importInto(first, [line], { organization: key })
    if (model.suspended.has('organization')) equal(body.code, 'suspended')
    else if (imported && again === secret)
      deepEqual([status, results[0].status, results[0].token], [200, 'exists', id])
    else equal(results[0].code, 'already_exists')
  }

  async function accepts(world: World, secret: string): Promise<boolean> {
    return (await world.credentials.verify(new Secret(secret), world.clock.now)) !== undefined
  }

  /** Those whose presentation would not be a first use. */
  const notPending = () => model.secrets.filter((secret) => secret !== model.pending?.secret)

  /** The second instance does not hear of a change: it answers as before for at most as long as its lease holds. */
  async function unheard(asked: Rotation | Change): Promise<void> {
    const before = model.good(now())
    const secrets = notPending()
    await second.credentials.settled()
    for (const secret of secrets) await accepts(second, secret)
    toListener.freeze()
    await (asked.kind === 'rotate' ? rotate(asked) : change(asked))
    const after = model.good(now())
    for (const secret of secrets) {
      const accepted = await accepts(second, secret)
      ok([before, after].some((good) => good.includes(secret) === accepted))
    }
    time.outlive()
    for (const secret of notPending()) equal(await accepts(second, secret), after.includes(secret))
    toListener.thaw()
    await holdLease()
  }

  async function read(): Promise<View> {
    await flushUses()
    const { items: secrets } = (await first.ask('GET', `${path}/secrets`)).body
    const idOf = (status: string) => secrets.find((one: any) => one.status === status)?.id
    const [token, organization, ofOwner] = await Promise.all(
      [path, base, `${base}/owners/u-1`].map(async (url) => (await first.ask('GET', url)).body),
    )
    return {
      current: idOf('current'),
      overlapping: idOf('overlapping'),
      pending: idOf('pending'),
      revoked: token.revoked_at !== null,
      suspended: [
        ...(organization.suspended_at ? ['organization'] : []),
        ...(ofOwner.suspended_at ? ['owner'] : []),
      ],
    }
  }

  async function flushUses(): Promise<void> {
    await first.usage.flush()
    await second.usage.flush()
  }

  /** Exactly the secrets of the model are good, on both instances. */
  async function check(): Promise<void> {
    const good = model.good(now())
    const stopped = model.revoked || model.suspended.size > 0
    ok(stopped || good.length >= 1, 'no rotation leaves a token without a good secret')
    ok(good.length <= 2)
    for (const world of [first, second]) {
      await world.credentials.settled()
      for (const secret of notPending()) equal(await accepts(world, secret), good.includes(secret))
    }
    deepEqual(await read(), model.view(now()))
  }

  for (const step of steps) {
    await apply(step)
    await check()
  }
  const { items } = (
    await first.ask('GET', `${base}/audit-events?target=${id}&action=token.rotated&limit=100`)
  ).body
  equal(items.length, model.rotations)
}

t.test('any sequence keeps at least one secret good, at most two, and none that ended', async (t) => {
  const seed = Math.trunc(Math.random() * 2 ** 31)
  t.comment(`seed ${seed}`)
  const steps = fc.array(anyStep, { minLength: 8, maxLength: 20, size: 'max' })
  await fc.assert(fc.asyncProperty(fc.boolean(), steps, run), { seed, numRuns: 25, endOnFailure: true })
  t.ok(runs >= 25)
})

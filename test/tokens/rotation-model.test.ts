// Any sequence of changes, uses, crashes, lost notifications and changes of the clock, on two instances of the service over
// one database, against a simple model of which secrets are good.
import { deepEqual, equal, ok } from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
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
  type Interrupted,
  lostId,
  type Rotation,
  RotationModel,
  type Step,
  type View,
} from '../support/rotation-model.ts'
import { until } from '../support/until.ts'
import { type Answer, createWorld, type World } from '../support/world.ts'

const first = await createWorld(t)
const toDatabase = await createProxy(t, first.databaseUrl)
/** From which the second instance hears of changes. */
const toListener = await createProxy(t, first.databaseUrl)
const time = createTime()
const second = await createWorld(t, {
  databaseUrl: toDatabase.url,
  signing: first.signing,
  hot: { ...time, listenUrl: toListener.url },
})
const instances = { first, second }
const token = first.admin

const now = () => first.clock.now.getTime()
function advance(ms: number): void {
  for (const { clock } of [first, second]) clock.advance(ms)
}

/** The second instance sends its beats only while this waits. */
async function withBeats<T>(work: Promise<T>): Promise<T> {
  let isDone = false
  const done = () => {
    isDone = true
  }
  work.then(done, done)
  await until(() => {
    time.tick()
    return isDone
  })
  return work
}

/** Until the second instance has connections again, and answers from memory. */
async function recover(): Promise<void> {
  await until(async () => (await withBeats(second.app.inject({ url: '/readyz' }))).statusCode === 200)
  await until(() => {
    time.tick()
    return second.credentials.status().held
  })
}
await recover()

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
  let model = new RotationModel(secret, id)

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
    else if (step.kind === 'crash') await crash(step)
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

  function send({ ask }: World, asked: Rotation | Change, headers = {}): Promise<Answer> {
    if (asked.kind === 'rotate') {
      const body = { activation: asked.activation, overlap_seconds: asked.hours * 3600 }
      return ask('POST', `${path}/rotate`, { token, body, headers })
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
    if (secret === undefined) return
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
    await recover()
  }

  /** The second instance crashes while it works: that was done as a whole, or not at all, and can be repeated. */
  async function crash({ during, messages, keyed }: Step & { kind: 'crash' }): Promise<void> {
    await flushUses()
    await second.credentials.settled()
    const headers = keyed ? { 'idempotency-key': randomUUID() } : {}
    const repeatable = prepare(during, headers)
    const end = toDatabase.crashAfter(messages)
    await withBeats(repeatable.run(second).catch(() => undefined))
    const ports = end()
    await until(async () => {
      const left = await first.sql('select from pg_stat_activity where client_port = any($1)', [ports])
      return left.rowCount === 0
    })
    await recover()
    await repeatable.check()
  }

  function prepare(during: Interrupted, headers: Record<string, string>) {
    if (during.kind === 'create') {
      const body = { name: randomUUID(), type: 'api' }
      const key = { 'idempotency-key': randomUUID() }
      return onceMade(body.name, (world) =>
        world.ask('POST', `${base}/tokens`, { token, body, headers: key }),
      )
    }
    if (during.kind === 'import') {
      const line = { sha256: sha256(randomUUID()), type: 'api', name: randomUUID() }
      return onceMade(line.name, (world) => importInto(world, [line], { token, organization: key }))
    }
    const before = model.clone()
    const after = model.clone()
    if (during.kind === 'use') {
      const secret = secretAt(during.pick)
      after.use(secret, now())
      return {
        run: (world: World) => world.introspect(secret, token),
        check: async () => adopt(await read(), [before, after]),
      }
    }
    const expected = during.kind === 'rotate' ? after.againstRotating(during, now()) : undefined
    if (during.kind !== 'rotate') after.apply(during)
    else if (expected === undefined) after.rotate({ secret: undefined, id: lostId }, during, now())
    return {
      run: (world: World) => send(world, during, headers),
      async check() {
        adopt(await read(), [before, after])
        if (during.kind !== 'rotate' || !headers['idempotency-key'] || expected !== undefined) return
        // It has happened once, whether before the crash or now.
        const { status, body, text } = await send(first, during, headers)
        equal(status, 200, text)
        model = before.clone()
        model.rotate({ secret: body.secret, id: body.secrets[0].id }, during, now())
      },
    }
  }

  /** Repeated on the other instance, it has made one token. */
  function onceMade(name: string, run: (world: World) => Promise<Answer>) {
    return {
      run,
      async check() {
        const { status, body, text } = await run(first)
        if (model.suspended.has('organization')) return equal(body.code, 'suspended', text)
        ok(status === 200 || status === 201, text)
        const { items } = (await first.ask('GET', `${base}/tokens?name=${name}`)).body
        equal(items.length, 1)
      },
    }
  }

  /** The model of what the database shows, which must be one of these. */
  function adopt({ secrets, ...view }: View & { secrets: any[] }, possible: RotationModel[]): void {
    const known = new Set(possible.flatMap((one) => Object.values(one.view(now()))))
    const named = (id: string | undefined) => (id === undefined || known.has(id) ? id : lostId)
    const found = possible.find((one) => {
      const { current, overlapping, pending, ...rest } = one.view(now())
      const shown = {
        current: named(view.current),
        overlapping: named(view.overlapping),
        pending: named(view.pending),
      }
      const { revoked, suspended } = view
      return isSame({ current, overlapping, pending, ...rest }, { ...shown, revoked, suspended })
    })
    ok(found, `neither the state before nor the one after: ${JSON.stringify(view)}`)
    model = found
    model.current.id = view.current
    if (model.pending && model.isPending(now())) model.pending.id = view.pending
    model.current.used = secrets.find(({ id }) => id === view.current).last_used_at !== null
  }

  function isSame(one: object, other: object): boolean {
    try {
      deepEqual(one, other)
      return true
    } catch {
      return false
    }
  }

  async function read(): Promise<View & { secrets: any[] }> {
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
      secrets,
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
    const { secrets: _, ...view } = await read()
    deepEqual(view, model.view(now()))
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

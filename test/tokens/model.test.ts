import { deepEqual, equal, match, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { anyPolicy, anyStep, type ModelToken, type Step, TokenModel } from '../support/token-model.ts'
import { type Answer, createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
let organizations = 0

t.test(
  'any sequence of create, rename, revoke, delete, expire and policy change matches the model',
  async (t) => {
    const steps = fc.array(anyStep, { minLength: 10, maxLength: 30, size: 'max' })
    const property = fc.asyncProperty(anyPolicy, steps, async (policy, steps) => {
      const run = await startRun()
      await run.step({ kind: 'policy', policy })
      for (const step of steps) await run.step(step)
      await run.checkLog()
    })
    await fc.assert(property, { numRuns: 30 })
    t.ok(organizations >= 30)
  },
)

async function startRun() {
  const key = `model-${++organizations}`
  const base = `/v1/organizations/${key}`
  const made = await world.ask('POST', '/v1/organizations', { body: { key, name: key } })
  const model = new TokenModel(made.body.id, world.clock.now.getTime())

  async function step(step: Step): Promise<void> {
    await apply(step)
    await checkList()
  }

  async function apply(step: Step): Promise<void> {
    if (step.kind === 'wait') {
      world.clock.advance(step.days * day)
      model.now = world.clock.now.getTime()
    } else if (step.kind === 'policy') {
      equal((await world.ask('PUT', `${base}/policy`, { body: step.policy })).status, 200)
      model.setPolicy(step.policy)
    } else if (step.kind === 'revoke all') {
      const { body } = await world.ask('POST', `${base}/owners/${step.owner}/revoke-tokens`)
      equal(body.revoked, model.revokeAllOf(step.owner))
    } else if (step.kind === 'create') await create(step.token)
    else {
      const token = model.tokens[step.pick % Math.max(1, model.tokens.length)]
      if (token) await change(step, token)
    }
  }

  async function create(token: (Step & { kind: 'create' })['token']): Promise<void> {
    const { name, owner, days } = token
    const against = model.againstCreating(token)
    const answer = await world.ask('POST', `${base}/tokens`, {
      body: {
        type: 'api',
        ...(name !== undefined && { name }),
        ...(owner !== null && {
          owner: { subject: owner, identity_source: owner.startsWith('sso') ? 'sso' : 'internal' },
        }),
        ...(days === null && { never_expires: true }),
        ...(typeof days === 'number' && { lifetime_days: days }),
      },
    })
    if (!agrees(answer, 201, against)) return
    const reduced = model.create(answer.body, token).expiresAt
    const requested = typeof days === 'number' ? model.now + days * day : null
    equal(answer.body.warnings.length > 0, days !== undefined && reduced !== requested)
    if (name === undefined) match(answer.body.name, /^api_\.\.\w{11}\.\.\w{4}$/)
    equal((await world.introspect(answer.body.secret)).active, true)
  }

  async function change(
    step: Step & { kind: 'rename' | 'revoke' | 'delete' },
    token: ModelToken,
  ): Promise<void> {
    const item = `${base}/tokens/${token.id}`
    if (step.kind === 'rename') {
      const against = model.againstRenaming(token, step.name)
      const answer = await world.ask('PATCH', item, { body: { name: step.name } })
      if (agrees(answer, 200, against)) model.rename(token, step.name)
    } else if (step.kind === 'revoke') {
      equal((await world.ask('POST', `${item}/revoke`)).status, 200)
      model.revoke(token)
    } else {
      const query = step.confirm ? `?confirm=${encodeURIComponent(token.name)}` : ''
      const needed = model.given().delete.confirm_name && !step.confirm
      const answer = await world.ask('DELETE', item + query)
      if (agrees(answer, 204, needed ? ['confirmation_required'] : [])) model.delete(token)
    }
  }

  async function checkList(): Promise<void> {
    const { body } = await world.ask('GET', `${base}/tokens?sort=created_at&limit=200`)
    deepEqual(
      body.items.map((item: any) => [
        item.id,
        item.name,
        item.status,
        item.owner?.subject ?? null,
        item.expires_at,
      ]),
      model.tokens.map((token) => [
        token.id,
        token.name,
        model.status(token),
        token.owner,
        token.expiresAt === null ? null : new Date(token.expiresAt).toISOString(),
      ]),
    )
  }

  /** The change log contains exactly what happened, in order, and nothing that was rejected. */
  async function checkLog(): Promise<void> {
    const { body } = await world.ask('GET', `${base}/audit-events?limit=200`)
    deepEqual(body.items.map((event: any) => [event.action, event.target.id]).reverse(), model.events)
  }

  return { step, checkLog }
}

/** True if it succeeded, which must be the case exactly if no rule is against it. */
function agrees({ status, body, text }: Answer, success: number, against: string[]): boolean {
  if (against.length === 0) equal(status, success, text)
  else ok(against.includes(body?.code), `${text} is none of ${against}`)
  return against.length === 0
}

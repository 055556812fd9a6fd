import { createHash } from 'node:crypto'
import t from 'tap'
import { deleteOldSuperseded } from '../../src/tokens/rotate/overlap.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const { ask, clock } = world
const leaks = '/v1/organizations/default/leaks'
const place = { source: 'nightly scan', url: 'https://git.example/app/.env' }

const setReaction = (on_leak: string, more = {}) =>
  ask('PUT', '/v1/organizations/default/policy', { body: { on_leak, ...more } })
const report = async (secret: string, more = {}) =>
  (await ask('POST', '/v1/leaks', { body: { secret, ...place, ...more } })).body
const pathOf = ({ id }: { id: string }) => `/v1/organizations/default/tokens/${id}`
const sha256 = (secret: string) => createHash('sha256').update(secret).digest('hex')

async function actionsOf({ id }: { id: string }) {
  const { body } = await ask('GET', `/v1/organizations/default/audit-events?target=${id}`)
  return body.items.map(({ action }: { action: string }) => action)
}

t.test('a leaked token is revoked unless the policy says otherwise', async (t) => {
  const token = await world.issue({ name: 'In a repository' })
  const { known, report: first } = await report(token.secret)
  t.equal(known, true)
  t.match(first, {
    ...place,
    token_id: token.id,
    token_name: 'In a repository',
    hint: token.hint,
    secret_status: 'current',
    reaction: 'revoked',
    reported_by: { type: 'token' },
    times: 1,
  })
  t.same(await world.introspect(token.secret), { active: false })
  t.match((await ask('GET', pathOf(token))).body, {
    status: 'revoked',
    revoked_reason: 'The secret leaked',
  })
  t.same((await actionsOf(token)).sort(), ['token.created', 'token.leaked', 'token.revoked'])
})

t.test('its hash is enough', async (t) => {
  const token = await world.issue()
  const body = { sha256: sha256(token.secret).toUpperCase(), source: 'a scanner' }
  t.match((await ask('POST', '/v1/leaks', { body })).body, { known: true, report: { url: null } })
  t.same(await world.introspect(token.secret), { active: false })
})

t.test('with `notify` it stays good, and the change log says that it leaked', async (t) => {
  await setReaction('notify')
  const token = await world.issue()
  t.match((await report(token.secret)).report, { reaction: 'notified' })
  t.match(await world.introspect(token.secret), { active: true })
  t.same(await actionsOf(token), ['token.leaked', 'token.created'])
})

t.test('with `rotate` it stays good for the default overlap, but cannot rotate itself', async (t) => {
  await setReaction('rotate', { rotation: { default_overlap_seconds: 3600 } })
  const token = await world.issue({ type: 'management', scopes: ['tokens:own'], owner: { subject: 'ada' } })
  t.match((await report(token.secret)).report, { reaction: 'rotated' })
  t.match(await world.introspect(token.secret), { active: true })
  t.match(await ask('POST', '/v1/self/rotate', { token: token.secret }), {
    status: 409,
    body: { code: 'superseded_secret' },
  })
  // The successor was never shown: rotating again replaces it, and leaves the leaked secret its overlap.
  const { body } = await ask('POST', `${pathOf(token)}/rotate`, { body: { overlap_seconds: 60 } })
  t.match(await world.introspect(token.secret), { active: true })
  clock.advance(3_600_000)
  t.same(await world.introspect(token.secret), { active: false })
  t.match(await world.introspect(body.secret), { active: true })
})

t.test('with `rotate`, a leaked secret in its overlap ends, and a pending one never begins', async (t) => {
  await setReaction('rotate')
  const token = await world.issue()
  const { body: rotated } = await ask('POST', `${pathOf(token)}/rotate`, { body: { overlap_seconds: 60 } })
  t.match((await report(token.secret)).report, { secret_status: 'overlapping', reaction: 'rotated' })
  t.same(await world.introspect(token.secret), { active: false })
  t.match(await world.introspect(rotated.secret), { active: true })
  const { body: pending } = await ask('POST', `${pathOf(token)}/rotate`, {
    body: { activation: 'first_use' },
  })
  t.match((await report(pending.secret)).report, { secret_status: 'pending', reaction: 'rotated' })
  t.same(await world.introspect(pending.secret), { active: false })
  t.match(await world.introspect(rotated.secret), { active: true })
})

t.test('secrets that are no longer good are recognized, until they are forgotten', async (t) => {
  await setReaction('revoke', { rotation: { keep_superseded_days: 30 } })
  const [rotated, deleted, twice] = [await world.issue(), await world.issue(), await world.issue()]
  await ask('POST', `${pathOf(rotated)}/rotate`, { body: { overlap_seconds: 0 } })
  const { body: second } = await ask('POST', `${pathOf(twice)}/rotate`, { body: { overlap_seconds: 0 } })
  for (const token of [deleted, twice]) t.equal((await ask('DELETE', pathOf(token))).status, 204)
  t.match((await report(rotated.secret)).report, { secret_status: 'superseded', reaction: 'none' })
  t.match((await ask('GET', pathOf(rotated))).body, { status: 'active' })
  for (const { secret } of [deleted, twice, second])
    t.match((await report(secret)).report, {
      secret_status: 'deleted',
      reaction: 'none',
      token_name: 'A token',
    })
  clock.advance(31 * day)
  await deleteOldSuperseded(world.db, clock.now)
  for (const { secret } of [rotated, deleted, twice, second])
    t.same(await report(secret, { url: null }), { known: false, report: null })
})

t.test(
  'the same place is counted, and another place is another report without another reaction',
  async (t) => {
    await setReaction('rotate')
    const token = await world.issue()
    const first = await report(token.secret)
    clock.advance(day)
    t.match((await report(token.secret)).report, {
      id: first.report.id,
      times: 2,
      reported_at: first.report.reported_at,
      last_reported_at: clock.now.toISOString(),
    })
    const other = await report(token.secret, { url: 'https://paste.example/1' })
    t.match(other.report, { reaction: 'none', times: 1 })
    t.not(other.report.id, first.report.id)
    t.equal((await actionsOf(token)).filter((action: string) => action === 'token.leaked').length, 1)
  },
)

t.test('reports name the token and never the secret', async (t) => {
  const token = await world.issue()
  const { report: made } = await report(token.secret)
  const read = await ask('GET', `${leaks}/${made.id}`)
  t.same(read.body, made)
  t.notMatch(read.text, token.secret)
  const listed = (await ask('GET', `${leaks}?token=${token.id}`)).body.items
  t.same(listed, [made])
  const first = (await ask('GET', `${leaks}?limit=1`)).body
  t.equal(first.items[0].id, made.id, 'the newest first')
  const next = await ask('GET', `${leaks}?limit=1&cursor=${first.next_cursor}`)
  t.not(next.body.items[0].id, made.id)
})

t.test('racing reports of one secret react once', async (t) => {
  const token = await world.issue()
  await Promise.all([1, 2, 3, 4].map((n) => report(token.secret, { url: `https://git.example/${n}` })))
  const actions = await actionsOf(token)
  t.equal(actions.filter((action: string) => action === 'token.leaked').length, 1)
})

t.test('a scanner of one organization learns nothing about the tokens of others', async (t) => {
  await ask('POST', '/v1/organizations', { body: { key: 'other', name: 'Other' } })
  const token = await world.issue()
  const scanner = await world.manager(['leaks:report'], 'other')
  const body = { secret: token.secret, ...place }
  t.same((await ask('POST', '/v1/leaks', { token: scanner, body })).body, { known: false, report: null })
  t.match(await world.introspect(token.secret), { active: true })
})

const bad: [string, object, string][] = [
  ['neither', { source: 'x' }, 'secret'],
  ['both', { secret: 'x', sha256: sha256('x'), source: 'x' }, 'sha256'],
  ['a short hash', { sha256: 'ab', source: 'x' }, 'sha256'],
  ['no source', { secret: 'x' }, 'source'],
  ['a token in the URL', { secret: 'x', source: 'x', url: `https://x.example/?t=${world.admin}` }, 'url'],
]
for (const [what, body, field] of bad) {
  t.test(`a report with ${what} is a 400 that names ${field}`, async (t) => {
    const answer = await ask('POST', '/v1/leaks', { body })
    t.equal(answer.status, 400)
    t.match(answer.body.errors, [{ in: 'body', field }])
  })
}

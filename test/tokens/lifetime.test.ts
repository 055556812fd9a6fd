import fc from 'fast-check'
import t from 'tap'
import { expiryOf } from '../../src/tokens/expiry.ts'
import { createWorld, day } from '../support/world.ts'

const world = await createWorld(t)
const policyUrl = '/v1/organizations/default/policy'
const url = '/v1/organizations/default/tokens'
const hour = 60 * 60 * 1000

const create = (body: object) => world.ask('POST', url, { body: { name: 'A token', type: 'api', ...body } })
const inDays = (days: number) => new Date(world.clock.now.getTime() + days * day).toISOString()

async function policy(lifetime: object) {
  const { status, text } = await world.ask('PUT', policyUrl, { body: { lifetime } })
  if (status !== 200) throw new Error(text)
}

t.test('a lifetime is given in days, as an instant, as null, or not at all', async (t) => {
  await policy({})
  t.equal((await create({ lifetime_days: 182 })).body.expires_at, inDays(182))
  t.equal((await create({ expires_at: inDays(2.5) })).body.expires_at, inDays(2.5))
  t.equal(
    (await create({ expires_at: '2027-01-01T02:00:00+02:00' })).body.expires_at,
    '2027-01-01T00:00:00.000Z',
  )
  t.equal((await create({ never_expires: true })).body.expires_at, null)
  t.equal((await create({})).body.expires_at, null)
  t.match(await create({ lifetime_days: 3, expires_at: inDays(3) }), { status: 422 })
})

t.test("a missing lifetime defaults to the policy's", async (t) => {
  await policy({ default_days: 90 })
  t.equal((await create({})).body.expires_at, inDays(90))
  t.equal((await create({ expires_at: null })).body.expires_at, inDays(90), 'null is not given')
  t.equal((await create({ never_expires: true })).body.expires_at, null)
})

t.test('if tokens must expire, a lifetime is required', async (t) => {
  await policy({ allow_no_expiry: false })
  for (const body of [{}, { expires_at: null }]) {
    t.match(await create(body), { status: 422, body: { errors: [{ in: 'body', field: 'expires_at' }] } })
  }
  t.match(await create({ lifetime_days: 30 }), { status: 201, body: { warnings: [] } })
})

t.test('a lifetime shorter than the minimum (at least a day) is rejected', async (t) => {
  await policy({})
  const almost = new Date(world.clock.now.getTime() + day - 1).toISOString()
  const refusal = { status: 422, body: { detail: 'expires_at must be at least one day ahead' } }
  t.match(await create({ expires_at: almost }), refusal)
  t.equal((await create({ expires_at: inDays(1) })).status, 201)
  await policy({ minimum_days: 7 })
  t.match(await create({ lifetime_days: 6 }), {
    status: 422,
    body: { detail: 'lifetime_days must be at least 7 days ahead', errors: [{ field: 'lifetime_days' }] },
  })
  t.equal((await create({ lifetime_days: 7 })).status, 201)
})

t.test('a lifetime longer than the maximum is rejected, or reduced with a warning', async (t) => {
  await policy({ maximum_days: 365 })
  t.match(await create({ lifetime_days: 366 }), {
    status: 422,
    body: { errors: [{ field: 'lifetime_days' }] },
  })
  t.match(await create({ expires_at: inDays(365.5) }), {
    status: 422,
    body: { errors: [{ field: 'expires_at' }] },
  })
  t.equal((await create({ lifetime_days: 365 })).status, 201)
  await policy({ maximum_days: 365, on_too_long: 'reduce' })
  const reduced = await create({ lifetime_days: 5000 })
  t.match(reduced, { status: 201, body: { expires_at: inDays(365) } })
  t.same(reduced.body.warnings, [
    {
      code: 'lifetime_reduced',
      message: 'The lifetime is reduced to 365 days, the longest that the policy allows.',
      requested: inDays(5000),
      granted: inDays(365),
    },
  ])
  const asked: [object, string | null][] = [
    [{ never_expires: true }, null],
    [{ expires_at: '9999-12-31T00:00:00.000Z' }, '9999-12-31T00:00:00.000Z'],
  ]
  for (const [body, requested] of asked) {
    const { status, body: token } = await create(body)
    t.match({ status, token }, { status: 201, token: { expires_at: inDays(365) } }, JSON.stringify(body))
    t.match(token.warnings, [{ code: 'lifetime_reduced', requested, granted: inDays(365) }])
  }
  t.match(await create({}), { status: 422 }, 'nothing was asked for that could be reduced')
  t.match(await create({ expires_at: inDays(0.5) }), { status: 422 }, 'too short stays too short')
})

t.test('the remaining lifetime is shown as data', async (t) => {
  await policy({})
  const { body: token } = await create({ lifetime_days: 10 })
  const expiry = async () => (await world.ask('GET', `${url}/${token.id}`)).body.expiry
  t.same(await expiry(), { state: 'ok', seconds_left: 864_000, days_left: 10 })
  const steps: [number, object][] = [
    [5 * day, { state: 'ok', seconds_left: 432_000, days_left: 5 }],
    [1, { state: 'warning', seconds_left: 431_999, days_left: 5 }],
    [4 * day - 1, { state: 'warning', seconds_left: 86_400, days_left: 1 }],
    [1, { state: 'imminent', seconds_left: 86_399, days_left: 1 }],
    [day - 2, { state: 'imminent', seconds_left: 0, days_left: 1 }],
    [1, { state: 'expired', seconds_left: 0, days_left: 0 }],
    [hour, { state: 'expired', seconds_left: 0, days_left: 0 }],
  ]
  for (const [ms, expected] of steps) {
    world.clock.advance(ms)
    t.same(await expiry(), expected)
  }
  const { body: forever } = await create({})
  t.same(forever.expiry, { state: 'never', seconds_left: null, days_left: null })
})

t.test('the expiry status only moves toward expired', async () => {
  const order = ['ok', 'warning', 'imminent', 'expired']
  const expiresAt = new Date('2027-01-01T00:00:00Z')
  fc.assert(
    fc.property(
      fc.date({ min: new Date('2026-01-01'), max: new Date('2028-01-01'), noInvalidDate: true }),
      fc.nat(),
      (now, ms) => {
        const earlier = expiryOf(expiresAt, null, now)
        const later = expiryOf(expiresAt, null, new Date(now.getTime() + ms))
        return (
          order.indexOf(earlier.state) <= order.indexOf(later.state) &&
          (earlier.secondsLeft ?? 0) >= (later.secondsLeft ?? 0)
        )
      },
    ),
  )
})

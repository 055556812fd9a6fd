import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const url = '/v1/organizations/default/tokens'

const create = (body: object) => world.ask('POST', url, { body: { type: 'api', ...body } })
const policy = (body: object) => world.ask('PUT', '/v1/organizations/default/policy', { body })

t.test('a name is required unless the policy says otherwise', async (t) => {
  t.match(await create({}), { status: 422, body: { errors: [{ in: 'body', field: 'name' }] } })
})

t.test('if no name is required, one is generated from the first and last four characters', async (t) => {
  await policy({ name: { required: false, minimum_length: 40, unique: true } })
  const { body } = await create({})
  t.match(body.name, /^api_\.\.[0-9A-Za-z]{11}\.\.[0-9A-Za-z]{4}$/)
  t.equal(body.name.slice(0, 4), body.secret.slice(0, 4))
  t.equal(body.name.slice(-4), body.secret.slice(-4))
  t.notOk(body.secret.includes(body.name.slice(6, 17)), 'nothing else of the secret is in it')
  const names = await Promise.all(Array.from({ length: 8 }, async () => (await create({})).body.name))
  t.equal(new Set(names).size, 8)
})

t.test('a name must have the length that the policy requires, counted in characters', async (t) => {
  await policy({ name: { minimum_length: 8 } })
  for (const name of ['1234567', '👩🚀👩🚀👩🚀👩']) {
    const refusal = { status: 422, body: { detail: 'name must have at least 8 characters' } }
    t.match(await create({ name }), refusal, name)
  }
  const { body, status } = await create({ name: '12345678' })
  t.equal(status, 201)
  t.equal((await world.ask('PATCH', `${url}/${body.id}`, { body: { name: 'short' } })).status, 422)
  t.equal((await world.ask('PATCH', `${url}/${body.id}`, { body: { comment: 'short' } })).status, 200)
})

t.test('a token whose name became too short can still be commented on', async (t) => {
  await policy({})
  const { body } = await create({ name: 'Old' })
  await policy({ name: { minimum_length: 8 } })
  const change = { name: 'Old', comment: 'Still here' }
  t.equal((await world.ask('PATCH', `${url}/${body.id}`, { body: change })).status, 200)
})

t.test('if the policy requires it, a delete must repeat the name', async (t) => {
  await policy({ delete: { confirm_name: true } })
  const { body } = await create({ name: 'Nightly & masked' })
  const item = `${url}/${body.id}`
  for (const query of ['', '?confirm=', '?confirm=nightly+%26+masked']) {
    t.match(await world.ask('DELETE', `${item}${query}`), {
      status: 422,
      body: { code: 'confirmation_required', errors: [{ in: 'query', field: 'confirm' }] },
    })
  }
  t.equal((await world.introspect(body.secret)).active, true)
  t.equal((await world.ask('DELETE', `${item}?confirm=Nightly+%26+masked`)).status, 204)
  t.same(await world.introspect(body.secret), { active: false })
})

t.test('otherwise a wrong name is rejected all the same', async (t) => {
  await policy({})
  const { body } = await create({ name: 'Right' })
  t.equal((await world.ask('DELETE', `${url}/${body.id}?confirm=Wrong`)).status, 422)
  t.equal((await world.ask('DELETE', `${url}/${body.id}`)).status, 204)
})

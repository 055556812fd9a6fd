import t from 'tap'
import { createWorld } from '../support/world.ts'
import { blocks, table } from './markdown.ts'

t.test('the registrations of docs/sign-in.md are accepted unchanged', async (t) => {
  const { ask } = await createWorld(t)
  const register = async (organization: string, block: string) =>
    ask('POST', `/v1/organizations/${organization}/issuers`, { body: JSON.parse(block) })
  const [own, platforms] = [blocks('docs/sign-in.md', 'json'), blocks('docs/sign-in.md', 'json platform')]
  t.same([own.length, platforms.length], [2, 1])
  for (const block of own) t.equal((await register('default', block)).status, 201, block)
  for (const block of platforms) t.equal((await register('platform', block)).status, 201, block)
})

t.test('docs/sign-in.md lists every member of a registration', async (t) => {
  const { app } = await createWorld(t)
  await app.ready()
  const { properties } = (app.swagger() as any).components.schemas.IssuerRegistration
  const { name: _name, claims, ...members } = properties
  const expected = [
    ...Object.keys(members),
    ...Object.keys(claims.properties).map((claim) => `claims.${claim}`),
  ]
  t.same(
    table('docs/sign-in.md')
      .map(([member]) => member)
      .sort(),
    expected.sort(),
  )
})

import t from 'tap'
import { createWorld } from '../support/world.ts'
import { operationsOf } from './contract.ts'
import { makeSpare, makeTarget, matrix, other, someStatusList } from './matrix.ts'

// RFC 9110 §13.1: entity tags, in every operation that reads them.
const world = await createWorld(t)
const { ask } = world
const operations = await operationsOf(world.app)
const changes = operations.filter(({ parameters }) => parameters.some(({ name }) => name === 'if-match'))
await makeTarget(world)

/** If-Match headers for version 1, and the expected status; 'ok' is the status of a successful change. */
const headers: [what: string, header: string, status: 'ok' | 412 | 400][] = [
  ['the tag', '"1"', 'ok'],
  ['any', '*', 'ok'],
  ['any, with spaces', ' * ', 'ok'],
  ['a list with it', '"7", "1"', 'ok'],
  ['a list with empty elements', ',, "7" ,"1",', 'ok'],
  ['a list with a tag that has a comma', '"a,b", "1"', 'ok'],
  ['beside a weak one', 'W/"7","1"', 'ok'],
  ['as Apache suffixes it', '"1-gzip"', 'ok'],
  ['as Apache suffixed it twice', '"1--gzip"', 'ok'],
  ['suffixed with another coding', '"1-br"', 'ok'],
  ['suffixed after a semicolon', '"1;zstd"', 'ok'],
  ['another version', '"7"', 412],
  ['another version, suffixed', '"7-gzip"', 412],
  ['another way to write 1', '"01"', 412],
  ['a suffix that is no coding', '"1-x"', 412],
  ['a weak one, as nginx makes it', 'W/"1"', 412],
  ['weak ones only', 'W/"1", W/"2"', 412],
  ['weak and suffixed', 'W/"1-gzip"', 412],
  ['a foreign tag', '"abc"', 412],
  ['an empty tag', '""', 412],
  ['more than there can be', '"99999999999999999999"', 412],
  ['no quotes', '1', 400],
  ['a quote too few', '"1', 400],
  ['a small w', 'w/"1"', 400],
  ['any among others', '"1", *', 400],
  ['no comma', '"1" "2"', 400],
  ['commas only', ',,', 400],
  ['nothing', '', 400],
]

t.test('every operation interprets If-Match alike', async (t) => {
  t.same(changes.map(({ id }) => id).sort(), [
    'cancelRotation',
    'deleteOrganization',
    'deleteOrganizationTokenType',
    'deleteScimUser',
    'deleteSignalStream',
    'deleteToken',
    'deleteTokenType',
    'deleteTrustedIssuer',
    'deleteWebhook',
    'finishRotation',
    'replacePolicy',
    'replaceScimUser',
    'replaceSignalStream',
    'replaceTrustedIssuer',
    'rotateSelf',
    'rotateToken',
    'rotateWebhookSecret',
    'updateOrganization',
    'updateOrganizationTokenType',
    'updateOwner',
    'updatePolicy',
    'updateScimUser',
    'updateToken',
    'updateTokenType',
    'updateWebhook',
  ])
  let n = 0
  for (const { id, method, path } of changes) {
    let spare = await makeSpare(world, id, n)
    for (const [what, header, status] of headers) {
      n += 1
      if (method !== 'DELETE') await setVersions()
      else if (/Organization$/.test(id)) await world.sql('update organizations set version = 1')
      const url = path.replace(/\{(\w+)\}/g, (_, name) =>
        name === 'token'
          ? spare.token.id
          : ((name === 'user' ? spare.usersOfPlatform : (spare as any)[name]) ?? other.subject),
      )
      const answer = await ask(method, url, {
        headers: { 'if-match': header },
        ...matrix[id]?.ask?.(spare, n),
        ...(id === 'rotateSelf' && { token: await world.manager(['tokens:write']) }),
      })
      t.equal(answer.status, status === 'ok' ? matrix[id]?.ok : status, `${id}: ${what}`)
      if (status === 400)
        t.match(
          answer.body,
          /^\/scim\//.test(path)
            ? { detail: /^If-Match / }
            : { errors: [{ in: 'header', field: 'if-match' }] },
          `${id}: ${what}`,
        )
      if (status === 412) t.match(answer.body.detail, /^The current version is 1\. /, `${id}: ${what}`)
      if (answer.status === 204 || (id === 'cancelRotation' && answer.status === 200))
        spare = await makeSpare(world, id, n)
    }
  }
})

/** Resets all versions. */
async function setVersions() {
  await world.sql('update organizations set version = 1, policy_version = 1')
  for (const table of [
    'tokens',
    'token_types',
    'organization_token_types',
    'trusted_issuers',
    'owners',
    'webhooks',
    'directory_users',
    'signal_streams',
  ])
    await world.sql(`update ${table} set version = 1`)
}

t.test('an If-Match that cannot match gets a reason and what to send', async (t) => {
  const { id } = await world.issue()
  const detailFor = async (header: string) => {
    const url = `/v1/organizations/default/tokens/${id}`
    return (await ask('PATCH', url, { headers: { 'if-match': header }, body: { name: 'New' } })).body.detail
  }
  t.equal(
    await detailFor('"7"'),
    'The current version is 1. Read it again, then apply your change to that version.',
  )
  t.match(await detailFor('W/"1"'), /weak ones .* never match .* then send If-Match: "1"\.$/)
  t.match(await detailFor('"abc"'), /no ETag of this service/)
})

t.test('If-None-Match is compared weakly, since proxies that compress weaken it', async (t) => {
  for (const url of ['/.well-known/jwks.json', `/status-lists/${await someStatusList(world)}`]) {
    const { status, headers } = await ask('GET', url)
    t.equal(status, 200, url)
    const { etag = '' } = headers
    const suffixed = etag.replace(/"$/, '-gzip"')
    for (const same of [etag, `W/${etag}`, suffixed, `W/${suffixed}`, `"a,b", ${etag}`, '*', `,${etag},`])
      t.equal((await ask('GET', url, { headers: { 'if-none-match': same } })).status, 304, same)
    for (const other of ['"x"', etag.slice(1), `w/${etag}`, `x, ${etag}`, ''])
      t.equal((await ask('GET', url, { headers: { 'if-none-match': other } })).status, 200, other)
  }
})

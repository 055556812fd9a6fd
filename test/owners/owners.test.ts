// Owners are records: where a user comes from is a fact about the user, not a word in each request.
import t from 'tap'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
let organizations = 0

async function organization(policy: object = {}) {
  const key = `org-${++organizations}`
  await world.ask('POST', '/v1/organizations', { body: { key, name: key } })
  const base = `/v1/organizations/${key}`
  const put = (body: object) => world.ask('PUT', `${base}/policy`, { body })
  await put(policy)
  return {
    key,
    base,
    put,
    create: (owner: object, token = world.admin) =>
      world.ask('POST', `${base}/tokens`, { token, body: { name: 'New', type: 'api', owner } }),
    owner: (subject: string) => world.ask('GET', `${base}/owners/${subject}`),
    change: (subject: string, body: object, token = world.admin) =>
      world.ask('PATCH', `${base}/owners/${subject}`, { token, body }),
  }
}

const restricted = { creation: { sso_users: false } }
const sources = [undefined, 'internal', 'ldap', 'sso'] as const
const asking = (subject: string, identity_source: string | undefined) => ({
  subject,
  ...(identity_source && { identity_source }),
})

t.test('a create that names an owner creates their record, or adds to it', async (t) => {
  const { create, owner } = await organization()
  t.match(await owner('u-1'), { status: 404, body: { code: 'not_found' } })
  await create({ subject: 'u-1', email: 'ada@example.com' })
  const made = await owner('u-1')
  t.match(made, {
    status: 200,
    headers: { etag: '"1"' },
    body: { subject: 'u-1', email: 'ada@example.com', identity_source: 'internal', external_id: null },
  })
  await create({ subject: 'u-1' })
  t.same((await owner('u-1')).body, made.body, 'what is left out changes nothing')
  await create({ subject: 'u-1', email: 'lovelace@example.com' })
  t.equal((await owner('u-1')).body.email, 'lovelace@example.com')
})

// For what is known of the owner and what the request says: the source of the token, or the code of the refusal.
const table: Record<string, { open: Record<string, string>; restricted: Record<string, string> }> = {
  undefined: {
    open: { undefined: 'internal', internal: 'internal', ldap: 'ldap', sso: 'sso' },
    restricted: { undefined: 'invalid_value', internal: 'internal', ldap: 'ldap', sso: 'creation_disabled' },
  },
  internal: {
    open: { undefined: 'internal', internal: 'internal', ldap: 'internal', sso: 'sso' },
    restricted: { undefined: 'internal', internal: 'internal', ldap: 'internal', sso: 'creation_disabled' },
  },
  ldap: {
    open: { undefined: 'ldap', internal: 'ldap', ldap: 'ldap', sso: 'sso' },
    restricted: { undefined: 'ldap', internal: 'ldap', ldap: 'ldap', sso: 'creation_disabled' },
  },
  sso: {
    open: { undefined: 'sso', internal: 'sso', ldap: 'sso', sso: 'sso' },
    restricted: {
      undefined: 'creation_disabled',
      internal: 'creation_disabled',
      ldap: 'creation_disabled',
      sso: 'creation_disabled',
    },
  },
}
for (const by of ['record', 'tokens of before there were records'])
  for (const known of sources)
    for (const rule of ['open', 'restricted'] as const)
      t.test(`an owner known by ${by} as ${known}, where single sign-on is ${rule}`, async (t) => {
        for (const said of sources) {
          const { key, base, create, put, owner } = await organization()
          if (known) await create({ subject: 'u-1', identity_source: known })
          if (by !== 'record') await world.sql('delete from owners')
          if (rule === 'restricted') await put(restricted)
          const expected = table[`${known}`]?.[rule][`${said}`] ?? 'none'
          const query = `owner=u-1${said ? `&owner_identity_source=${said}` : ''}`
          const { creation } = (await world.ask('GET', `${base}/tokens/options?${query}`)).body
          const answer = await create(asking('u-1', said))
          const refused = /_/.test(expected)
          t.equal(creation.code, refused ? expected : null, `the form, for ${said}`)
          if (refused) {
            t.match(answer, { body: { code: expected } }, `a create that says ${said}`)
            t.equal(answer.body.detail, creation.reason)
            continue
          }
          t.match(answer, { status: 201, body: { owner: { identity_source: expected } } }, `${said}`)
          t.equal((await owner('u-1')).body.identity_source, expected)
          t.match(
            answer.body.warnings,
            said && said !== expected
              ? [{ code: 'identity_source_kept', requested: said, granted: expected }]
              : [],
          )
          t.equal(
            (await world.sql('select from owners where subject = $1', ['u-1'])).rows.length > 0,
            true,
            key,
          )
        }
      })

t.test('an unknown source must be given if single sign-on is restricted', async (t) => {
  const { create } = await organization(restricted)
  t.match(await create({ subject: 'u-1' }), {
    status: 422,
    body: { code: 'invalid_value', errors: [{ in: 'body', field: 'owner.identity_source' }] },
  })
  t.equal((await create({ subject: 'u-1', identity_source: 'internal' })).status, 201)
  t.equal((await create({ subject: 'u-1' })).status, 201, 'said once, it is known')
})

t.test('an old token with the source sso takes precedence over newer ones without it', async (t) => {
  const { create, put } = await organization()
  await create({ subject: 'u-1', identity_source: 'sso' })
  await world.sql('delete from owners')
  const { body } = await create({ subject: 'u-2' })
  await world.sql(`update tokens set owner_subject = 'u-1' where id = $1`, [body.id])
  await world.sql('delete from owners')
  await put(restricted)
  t.match(await create({ subject: 'u-1' }), { body: { code: 'creation_disabled' } })
})

t.test('only callers with the right permissions may change the source of an owner', async (t) => {
  const { key, base, create, change, owner, put } = await organization()
  await create({ subject: 'u-1', identity_source: 'sso' })
  const body = { identity_source: 'internal' }
  const writer = await world.manager(['tokens:write', 'tokens:read', 'policy:read'], key)
  t.match(await change('u-1', body, writer), { status: 403, body: { code: 'insufficient_scope' } })
  const federated = await world.manager(['policy:write'], key, {
    owner: { subject: 'u-2', identity_source: 'sso' },
  })
  t.match(await change('u-1', body, federated), { status: 403, body: { code: 'creation_disabled' } })
  t.equal((await change('u-1', { external_id: '00u1' }, federated)).status, 200)
  t.equal((await change('u-1', body, await world.manager(['policy:write']))).status, 404)
  const admin = await world.manager(['policy:write'], key)
  t.match(await change('u-1', body, admin), { status: 200, body })
  t.equal((await change('nobody', body, admin)).status, 404)
  await put(restricted)
  t.equal((await create({ subject: 'u-1' })).status, 201)
  const { items } = (await world.ask('GET', `${base}/audit-events?action=owner.updated`)).body
  t.match(items[0], {
    target: { type: 'owner', id: 'u-1' },
    changes: { before: { identity_source: 'sso' }, after: { identity_source: 'internal' } },
  })
  const stale = { headers: { 'if-match': '"1"' }, body }
  t.equal((await world.ask('PATCH', `${base}/owners/u-1`, stale)).status, 412)
  t.equal((await owner('u-1')).body.external_id, '00u1')
})

t.test('with tokens:own, owners read their own record', async (t) => {
  const { key, base, create } = await organization()
  await create({ subject: 'u-2' })
  const token = await world.manager(['tokens:own'], key, { owner: { subject: 'u-1' } })
  t.equal((await world.ask('GET', `${base}/owners/u-1`, { token })).status, 200)
  t.equal((await world.ask('GET', `${base}/owners/u-2`, { token })).status, 403)
})

t.test('a change of the record applies to tokens that the owner creates with an older one', async (t) => {
  const { key, base, change, put } = await organization()
  const token = await world.manager(['tokens:own'], key, {
    owner: { subject: 'u-1', identity_source: 'sso' },
  })
  const create = () => world.ask('POST', `${base}/tokens`, { token, body: { name: 'Own', type: 'api' } })
  await put(restricted)
  t.match(await create(), { body: { code: 'creation_disabled' } })
  await change('u-1', { identity_source: 'ldap' })
  t.match(await create(), { status: 201, body: { owner: { identity_source: 'ldap' } } })
})

t.test('concurrent first tokens of an owner create one record', async (t) => {
  const { key, create, owner } = await organization()
  const sent = Array.from({ length: 12 }, (_, i) => create(asking('u-1', i % 3 ? undefined : 'sso')))
  for (const { status } of await Promise.all(sent)) t.equal(status, 201)
  t.equal((await owner('u-1')).body.identity_source, 'sso')
  const { rows } = await world.sql(
    'select from owners join organizations on id = organization_id where key = $1',
    [key],
  )
  t.equal(rows.length, 1)
})

t.test('owners are deleted with their organization', async (t) => {
  const { base, create } = await organization()
  await create({ subject: 'u-of-deleted' })
  await world.ask('POST', `${base}/suspend`)
  t.equal((await world.ask('DELETE', base)).status, 204)
  t.same((await world.sql(`select from owners where subject = 'u-of-deleted'`)).rows, [])
})

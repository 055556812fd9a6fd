import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { emit } from '../../src/events/events.ts'
import { createWorld, day, type World, type WorldOptions } from '../support/world.ts'
import { startSmtp } from './smtp.ts'

const from = 'Counterfoil <counterfoil@example.com>'
const minute = 60_000
const ada = { subject: 'u-1', email: 'ada@example.com' }

/** A Counterfoil that sends mail to a server of its own. */
async function start(t: Test, options: WorldOptions = {}, refuse?: Parameters<typeof startSmtp>[1]) {
  const smtp = await startSmtp(t, refuse)
  const world = await createWorld(t, { mail: { url: smtp.url, from }, ...options })
  await world.dispatcher.flush()
  return { world, smtp, subjects: () => smtp.mails.map(({ headers }) => headers.get('subject')) }
}

async function pass(world: World, ms: number) {
  world.clock.advance(ms)
  await world.dispatcher.flush()
}

const notify = (world: World, notifications: object) =>
  world.ask('PATCH', '/v1/organizations/default/policy', { body: { notifications } })

t.test('the owner and the recipients of the policy get one mail each for each number of days', async (t) => {
  const { world, smtp } = await start(t)
  await notify(world, { mail_to: ['team@example.com', 'ADA@example.com'] })
  await world.issue({ name: 'Deploy <b>key</b>', owner: ada, lifetime_days: 60 })
  await pass(world, 30 * day + 2 * minute)
  await pass(world, minute)
  t.same(smtp.mails.map(({ to }) => to).sort(), [['ada@example.com'], ['team@example.com']])
  for (const mail of smtp.mails) {
    t.equal(mail.from, 'counterfoil@example.com')
    t.equal(mail.headers.get('from'), from)
    t.equal(mail.headers.get('auto-submitted'), 'auto-generated')
    t.match(mail.headers.get('subject'), 'The token “Deploy <b>key</b>” expires in 30 days')
    t.match(mail.text, /Expires: +Thursday,? 30 April 2026 at 12:00 UTC/)
    t.match(mail.text, /Secret: +api_/)
    t.match(mail.html, 'Deploy &lt;b&gt;key&lt;/b&gt;')
    t.notMatch(
      mail.html,
      /<b>|<a |<img|https?:\/\/(?!www\.w3)/,
      'no markup of others, no links, nothing to load',
    )
    t.match(mail.html, 'prefers-color-scheme:dark')
  }
  const [owner, other] = smtp.mails.toSorted((a, b) => (a.to[0] ?? '').localeCompare(b.to[0] ?? ''))
  t.match(owner?.text, /because you own the token/)
  t.match(other?.text, /because the policy/)
  await pass(world, 23 * day)
  await pass(world, 6 * day)
  await pass(world, 2 * day)
  const subjects = smtp.mails
    .filter(({ to }) => to[0] === 'ada@example.com')
    .map(({ headers }) => headers.get('subject'))
  t.same(
    subjects.map((subject) => subject?.replace(/^.*” /, '')),
    ['expires in 30 days', 'expires in 7 days', 'expires in 1 day', 'has expired'],
  )
})

t.test('two instances that race send exactly one mail for each token and number of days', async (t) => {
  const { world: first, smtp } = await start(t)
  const second = await createWorld(t, {
    databaseUrl: first.databaseUrl,
    signing: first.signing,
    mail: { url: smtp.url, from },
  })
  for (let n = 0; n < 12; n += 1)
    await first.issue({
      name: `Token ${n}`,
      owner: { subject: `u-${n}`, email: `u-${n}@example.com` },
      lifetime_days: 40,
    })
  for (const ms of [10 * day + 2 * minute, 23 * day, 6 * day, 2 * day]) {
    first.clock.advance(ms)
    second.clock.now = first.clock.now
    await Promise.all([first, second, first, second].map(({ dispatcher }) => dispatcher.flush()))
  }
  const got = smtp.mails.map(({ to, headers }) => `${to} ${headers.get('subject')?.replace(/^.*” /, '')}`)
  t.equal(got.length, 4 * 12)
  t.equal(new Set(got).size, got.length)
})

t.test('owners are left out if the policy says so, and what has no recipient is not told', async (t) => {
  const { world, smtp } = await start(t)
  await notify(world, { mail_owners: false })
  await world.issue({ owner: ada, lifetime_days: 20 })
  await world.issue({ owner: { subject: 'u-2' }, lifetime_days: 20 })
  await pass(world, 21 * day)
  t.same(smtp.mails, [])
})

t.test('more than three a day come together, once a day', async (t) => {
  const { world, smtp, subjects } = await start(t)
  const expiring = async (count: number) => {
    for (let n = 0; n < count; n += 1)
      await world.issue({ name: `Token ${n}`, owner: ada, lifetime_seconds: 7 * 86_400 + 120 })
    await pass(world, 4 * minute)
  }
  await expiring(3)
  t.equal(smtp.mails.length, 3, 'a few are sent alone')
  await expiring(4)
  t.equal(subjects().at(-1), '4 notices about tokens of default')
  t.match(smtp.mails.at(-1)?.text, /Token 0.*Token 3/s)
  await expiring(5)
  await pass(world, 60 * minute)
  t.equal(smtp.mails.length, 4, 'the next ones wait')
  await pass(world, day)
  t.equal(subjects().at(-1), '5 notices about tokens of default')
  t.equal(smtp.mails.length, 5)
})

t.test('the limit of three a day also holds for mails that come one at a time', async (t) => {
  const { world, smtp, subjects } = await start(t)
  for (let n = 0; n < 8; n += 1) {
    await world.issue({ name: `Token ${n}`, owner: ada, lifetime_seconds: 7 * 86_400 + 120 })
    await pass(world, 4 * minute)
  }
  t.equal(smtp.mails.length, 4, 'the fourth is the mail of that day for the rest')
  await pass(world, day)
  t.equal(smtp.mails.length, 5)
  t.equal(subjects().at(-1), '4 notices about tokens of default')
})

t.test('an instance whose claim has ended leaves the mail to the other one', async (t) => {
  let onFirst = async () => {}
  const { world: first, smtp } = await start(t, {}, async () => {
    const once = onFirst
    onFirst = async () => {}
    await once()
    return undefined
  })
  const second = await createWorld(t, {
    databaseUrl: first.databaseUrl,
    signing: first.signing,
    mail: { url: smtp.url, from },
  })
  const recipients = Array.from({ length: 3 }, (_, n) => `u-${n}@example.com`)
  for (const email of recipients)
    await first.issue({ owner: { subject: email, email }, lifetime_seconds: 7 * 86_400 + 120 })
  onFirst = async () => {
    // The server keeps the first instance waiting.
    first.clock.advance(6 * minute)
    second.clock.now = first.clock.now
    await second.dispatcher.flush()
  }
  await pass(first, 4 * minute)
  const got = smtp.mails.map(({ to }) => String(to))
  t.same([...new Set(got)].sort(), recipients)
  t.equal(got.length, 4, 'only the mail that was being sent arrives twice')
})

t.test('many notices reach many recipients at once', async (t) => {
  const { world } = await start(t, { mail: { url: 'smtp://127.0.0.1:1', from } })
  const mail_to = Array.from({ length: 20 }, (_, n) => `recipient-${n}@example.com`)
  t.equal((await notify(world, { mail_to })).status, 200)
  const { id: organizationId } = (await world.ask('GET', '/v1/organizations/default')).body
  const event = { organizationId, occurredAt: world.clock.now, data: { name: 'One' } }
  await emit(
    world.db,
    Array.from({ length: 500 }, () => ({ type: 'token.expired', ...event, subject: randomUUID() })),
  )
  await world.dispatcher.flush()
  const { rows } = await world.sql('select count(*)::int from mails group by recipient')
  t.same(rows, Array(20).fill({ count: 500 }))
})

t.test('what a user chose cannot add header fields, recipients or links', async (t) => {
  const { world, smtp } = await start(t)
  const names = [
    'a\r\nBcc: eve@evil.example',
    'a\u2028Bcc: eve@evil.example',
    'Reset at https://evil.example/reset or www.evil.example',
    '"><script>alert(1)</script>',
    '\u202egnp.exe',
    'x'.repeat(900),
  ]
  for (const name of names) {
    const { id } = await world.issue({ owner: ada, lifetime_days: 20 })
    // Creating a token refuses some of these; earlier versions did not.
    await world.sql('update tokens set name = $1 where id = $2', [name, id])
    await pass(world, 14 * day)
    await pass(world, day)
  }
  t.ok(smtp.mails.length >= names.length)
  for (const { to, headers, text, html } of smtp.mails) {
    t.same(to, ['ada@example.com'])
    t.notOk(headers.has('bcc'))
    t.ok((headers.get('subject')?.length ?? 0) < 300)
    t.notMatch(html, /<script/)
    for (const part of [text, html, headers.get('subject')])
      t.notMatch(part, /evil\.example|:\/\/evil|\u202e/)
  }
  for (const address of [
    'a@example.com, eve@evil.example',
    'a@example.com\r\nBcc: eve@evil.example',
    'nobody',
    '',
  ])
    t.equal((await notify(world, { mail_to: [address] })).status, 400, JSON.stringify(address))
})

t.test('a mail that fails is sent later; one that is rejected permanently is not', async (t) => {
  let broken = true
  const refuse = (to: string) => {
    if (to === 'gone@example.com') return { code: 550, text: 'no such user' }
    return broken ? { code: 451, text: 'try again later' } : undefined
  }
  const { world, smtp } = await start(t, {}, refuse)
  await notify(world, { mail_to: ['gone@example.com'] })
  await world.issue({ owner: ada, lifetime_days: 20 })
  await pass(world, 13 * day + 2 * minute)
  t.same(smtp.mails, [])
  const states = async () =>
    (await world.sql('select recipient, status, attempts from mails order by recipient')).rows
  t.match(await states(), [
    { recipient: 'ada@example.com', status: 'pending', attempts: 1 },
    { recipient: 'gone@example.com', status: 'failed', attempts: 1 },
  ])
  broken = false
  await pass(world, minute)
  t.match(smtp.mails, [{ to: ['ada@example.com'] }])
})

t.test('a mail server that cannot be reached delays mail and nothing else', async (t) => {
  const { world, smtp } = await start(t, { mail: { url: 'smtp://127.0.0.1:1', from } })
  const owned = await world.issue({ owner: ada, lifetime_days: 20 })
  await pass(world, 13 * day + 2 * minute)
  t.match((await world.sql('select status, attempts from mails')).rows, [{ status: 'pending', attempts: 1 }])
  t.match(await world.introspect(owned.secret), { active: true })
  const repaired = await createWorld(t, {
    databaseUrl: world.databaseUrl,
    signing: world.signing,
    mail: { url: `smtp://counterfoil:smtp-password@127.0.0.1:${smtp.port}`, from },
  })
  repaired.clock.now = world.clock.now
  await pass(repaired, minute)
  t.equal(smtp.mails.length, 1, 'another instance sends it, with a user name and a password')
})

t.test('the message of a mail is the same in every attempt', async (t) => {
  const { world, smtp } = await start(t)
  await world.issue({ owner: ada, lifetime_days: 20 })
  await pass(world, 13 * day + 2 * minute)
  // As if the instance had been killed after the server took the mail.
  await world.sql("update mails set status = 'pending', sent_at = null")
  await pass(world, 10 * minute)
  const ids = smtp.mails.map(({ headers }) => headers.get('message-id'))
  t.equal(ids.length, 2)
  t.equal(ids[0], ids[1])
})

t.test('further recipients can be named only by those who may read the change log', async (t) => {
  const { world } = await start(t)
  const writer = await world.manager(['policy:write'])
  const auditor = await world.manager(['policy:write', 'audit:read'])
  const name = (token: string, mail_to: string[]) =>
    world.ask('PATCH', '/v1/organizations/default/policy', { token, body: { notifications: { mail_to } } })
  t.match(await name(writer, ['team@example.com']), { status: 403, body: { detail: /audit:read/ } })
  t.equal((await name(auditor, ['team@example.com', 'ops@example.com'])).status, 200)
  t.equal((await name(writer, ['ops@example.com'])).status, 200, 'removing one is no grant')
})

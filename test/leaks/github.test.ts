import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import t from 'tap'
import { startSmtp } from '../mail/smtp.ts'
import { json, serve } from '../outbound/server.ts'
import { createWorld } from '../support/world.ts'
import { startReceiver, verifies } from '../webhooks/receiver.ts'

// From GitHub's documentation of the partner program and its published keys.
const sample = {
  identifier: 'bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c',
  key: `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd
AjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==
-----END PUBLIC KEY-----
`,
  body: '[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]',
  signature:
    'MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg==',
}

const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const github = pair()
const published = (...keys: [string, KeyObject | string][]) =>
  json({
    public_keys: keys.map(([key_identifier, key]) => ({
      key_identifier,
      key: typeof key === 'string' ? key : key.export({ type: 'spki', format: 'pem' }),
      is_current: true,
    })),
  })
let answer = published([sample.identifier, sample.key], ['k1', github.publicKey])
const { url, calls } = await serve(t, (request, response) => answer(request, response))
const smtp = await startSmtp(t)
const world = await createWorld(t, {
  mail: { url: smtp.url, from: 'counterfoil@example.com' },
  githubKeysUrl: url,
  outbound: { allow: ['127.0.0.1'] },
})

type Match = { token: string; type?: string; url?: string; source?: string }

async function send(
  matches: Match[] | string,
  { identifier = 'k1', key = github.privateKey, signature = undefined as string | undefined } = {},
) {
  const body =
    typeof matches === 'string' ? matches : JSON.stringify(matches.map((one) => ({ type: 'api', ...one })))
  const headers = {
    'github-public-key-identifier': identifier,
    'github-public-key-signature': signature ?? sign('sha256', Buffer.from(body), key).toString('base64'),
  }
  return world.ask('POST', '/leaks/github', { token: '', body, headers })
}

t.test("GitHub's own sample request is accepted", async (t) => {
  const { identifier, signature } = sample
  const { status, body } = await send(sample.body, { identifier, signature })
  t.equal(status, 200)
  t.same(body, [
    {
      token_hash: createHash('sha256').update('some_token').digest('hex'),
      token_type: 'some_type',
      label: 'false_positive',
    },
  ])
})

t.test('matches of every organization are labelled in their order, and revoked', async (t) => {
  await world.ask('POST', '/v1/organizations', { body: { key: 'acme', name: 'Acme' } })
  const [one, other] = [await world.issue(), await world.issue({}, 'acme')]
  const found = { url: 'https://github.com/octo/app/blob/1/x', source: 'content' }
  const { body } = await send(
    [one, { secret: 'nothing' }, other].map(({ secret }) => ({ token: secret, ...found })),
  )
  t.same(
    body.map(({ label }: { label: string }) => label),
    ['true_positive', 'false_positive', 'true_positive'],
  )
  for (const { secret } of [one, other]) t.same(await world.introspect(secret), { active: false })
  const { body: reports } = await world.ask('GET', '/v1/organizations/acme/leaks')
  t.match(reports.items, [
    { token_id: other.id, ...found, reaction: 'revoked', reported_by: { type: 'system', id: 'github' } },
  ])
})

t.test('the webhooks, the owner and the recipients of the policy are told of a leak at once', async (t) => {
  await world.dispatcher.flush()
  const receiver = await startReceiver(t)
  const events = ['token.leaked', 'token.revoked']
  const { body: webhook } = await world.ask('POST', '/v1/organizations/default/webhooks', {
    body: { url: receiver.url, events },
  })
  const policy = { notifications: { mail_to: ['security@example.com'] } }
  await world.ask('PATCH', '/v1/organizations/default/policy', { body: policy })
  const owner = { subject: 'u-leak', email: 'ada@example.com' }
  const { id, secret, hint } = await world.issue({ name: 'Deploy', owner })
  t.equal((await send([{ token: secret, url: 'https://github.com/acme/app', source: 'commit' }])).status, 200)
  await world.dispatcher.flush()
  t.same(receiver.types().sort(), events)
  for (const message of receiver.messages) {
    t.ok(verifies(message, webhook.secret))
    t.match(message.body.data.token, { id, name: 'Deploy', hint, owner: 'u-leak' })
    t.notOk(message.text.includes(secret))
  }
  t.same(smtp.mails.flatMap(({ to }) => to).sort(), ['ada@example.com', 'security@example.com'])
  for (const { headers, text, html } of smtp.mails) {
    t.match(headers.get('subject'), /Deploy.*leak/i)
    t.notOk((text + html).includes(secret))
  }
})

t.test('a thousand matches are one lookup', async (t) => {
  const { secret } = await world.issue()
  const many = Array.from({ length: 999 }, (_, n) => ({ token: `nothing-${n}` }))
  const { body } = await send([...many, { token: secret }])
  t.equal(body.length, 1000)
  t.equal(body.filter(({ label }: { label: string }) => label === 'true_positive').length, 1)
})

t.test('what GitHub found is stored without secrets and without what cannot be stored', async (t) => {
  const token = await world.issue()
  const places = [
    `https://x.example/?token=${token.secret}`,
    'nul \0',
    'lone \ud800',
    'x'.repeat(3000),
    undefined,
  ]
  for (const place of places) {
    const match = { token: token.secret, ...(place !== undefined && { url: place }) }
    t.match(await send([match]), { status: 200, body: [{ label: 'true_positive' }] })
  }
  const { body } = await world.ask('GET', `/v1/organizations/default/leaks?token=${token.id}`)
  t.match(body.items, [{ url: null, times: places.length }])
})

t.test('keys are fetched for an unknown identifier, at most once a minute', async (t) => {
  const before = calls.length
  const next = pair()
  answer = published(['k1', github.publicKey], ['k2', next.publicKey])
  const ofNext = { identifier: 'k2', key: next.privateKey }
  t.equal((await send([], ofNext)).status, 400, 'within the minute')
  t.equal(calls.length, before)
  world.clock.advance(60_000)
  const answers = await Promise.all([send([], ofNext), send([], ofNext)])
  t.same(
    answers.map(({ status }) => status),
    [200, 200],
  )
  t.equal(calls.length, before + 1)
})

t.test('a key that GitHub withdraws is not accepted for longer than an hour', async (t) => {
  answer = published(['k2', pair().publicKey])
  t.equal((await send([])).status, 200)
  world.clock.advance(3_600_000)
  t.equal((await send([])).status, 400)
})

t.test('while keys cannot be fetched, known ones stay in use, and unknown ones are a 503', async (t) => {
  answer = published(['k1', github.publicKey])
  world.clock.advance(60_000)
  t.equal((await send([])).status, 200)
  answer = (_request, response) => void response.writeHead(500).end()
  world.clock.advance(3_600_000)
  t.equal((await send([])).status, 200)
  world.clock.advance(60_000)
  const refused = await send([], { identifier: 'k9' })
  t.match(refused, { status: 503, headers: { 'retry-after': /\d/ }, body: { code: 'unavailable' } })
})

const signed = (body: string) => sign('sha256', Buffer.from(body), github.privateKey).toString('base64')
const bad: [string, string, object, number, RegExp][] = [
  ['the signature of another body', '[]', { signature: signed('[ ]') }, 400, /signature/],
  ['the signature of another key', '[]', { key: pair().privateKey }, 400, /signature/],
  ['a signature that is not base64', '[]', { signature: '%%%' }, 400, /signature/],
  ['no signature', '[]', { signature: '' }, 400, /signature/],
  ['no identifier', '[]', { identifier: '' }, 400, /identifier/],
  ['no list', '{"token":"x"}', {}, 400, /body/],
  ['a match without a token', '[{"type":"x"}]', {}, 400, /token/],
  ['text that is not JSON', 'nothing', {}, 400, /JSON/],
  ['no body', '', {}, 400, /body/],
]
for (const [what, body, how, status, detail] of bad) {
  t.test(`${what} is a ${status}`, async (t) => {
    t.match(await send(body, how), { status, body: { detail } })
  })
}

t.test('an alert of more than 2 MiB is a 413', async (t) => {
  t.equal((await send(`["${'x'.repeat(2 * 1024 * 1024)}"]`)).status, 413)
})

import t from 'tap'
import { startSmtp } from '../mail/smtp.ts'
import { createWorld, day } from '../support/world.ts'
import { startReceiver } from '../webhooks/receiver.ts'

const minute = 60_000
const hour = 60 * minute
const smtp = await startSmtp(t, (to) =>
  to.startsWith('gone')
    ? { code: 550, text: 'no such user' }
    : to.startsWith('full')
      ? { code: 452, text: 'full' }
      : undefined,
)
const world = await createWorld(t, {
  outbound: { allow: ['127.0.0.1'] },
  mail: { url: smtp.url, from: 'counterfoil@example.com' },
})
const { ask, clock, dispatcher } = world
await dispatcher.flush()
const webhooks = '/v1/organizations/default/webhooks'

/** The metrics with these names, by name and labels. */
async function metrics(pattern: RegExp): Promise<Record<string, number>> {
  const { text } = await ask('GET', '/metrics')
  const lines = text.split('\n').filter((line) => !line.startsWith('#') && pattern.test(line))
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.lastIndexOf(' ')
      return [line.slice('counterfoil_'.length, at), Number(line.slice(at + 1))]
    }),
  )
}

async function backlog() {
  await dispatcher.measureBacklog()
  return metrics(/^counterfoil_(outbox|deliveries|mails_pending|webhooks)/)
}

t.test('attempts are counted by outcome, with their duration', async (t) => {
  let status = 500
  const receiver = await startReceiver(t, (_message, response) => response.writeHead(status).end())
  await ask('POST', webhooks, { body: { url: receiver.url, events: ['token.created'] } })
  await world.issue()
  await dispatcher.flush()
  for (let n = 0; n < 24; n += 1) {
    clock.advance(3 * hour)
    await dispatcher.flush()
  }
  status = 204
  await world.issue()
  await dispatcher.flush()
  t.same(await metrics(/^counterfoil_webhook_attempt_duration_seconds_count/), {
    'webhook_attempt_duration_seconds_count{outcome="postponed"}': 24,
    'webhook_attempt_duration_seconds_count{outcome="failed"}': 1,
    'webhook_attempt_duration_seconds_count{outcome="delivered"}': 1,
  })
})

t.test(
  'what waits is shown: the outbox, deliveries that are late, mails, and webhooks by status',
  async (t) => {
    await world.sql('delete from webhooks')
    const { url } = await startReceiver(t, (_message, response) => response.writeHead(503).end())
    for (const events of [['token.revoked'], ['owner.suspended'], null, null])
      await ask('POST', webhooks, { body: { url, events } })
    const { body } = await ask('GET', webhooks)
    const [failing, , paused, disabled] = body.items
    await ask('PATCH', `${webhooks}/${paused.id}`, { body: { paused: true } })
    await world.sql(`update webhooks set disabled_at = now() where id = '${disabled.id}'`)
    await dispatcher.flush()
    const nothing = { outbox_events: 0, outbox_oldest_age_seconds: 0, deliveries_overdue_seconds: 0 }
    t.match(await backlog(), nothing)

    const { id } = await world.issue()
    await ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
    clock.advance(3 * minute)
    t.match(await backlog(), { outbox_events: 2, outbox_oldest_age_seconds: 180 })

    await dispatcher.flush()
    const { deliveries_pending: pending, ...others } = await backlog()
    t.ok(Number(pending) >= 5, 'those of webhooks that are paused or disabled wait too')
    t.match(others, {
      ...nothing,
      'webhooks{status="active"}': 1,
      'webhooks{status="failing"}': 1,
      'webhooks{status="paused"}': 1,
      'webhooks{status="disabled"}': 1,
    })
    const [delivery] = (await ask('GET', `${webhooks}/${failing.id}/deliveries`)).body.items
    clock.advance(Date.parse(delivery.next_attempt_at) - clock.now.getTime() + minute)
    t.match(await backlog(), { deliveries_overdue_seconds: 60 })
  },
)

t.test('mails are counted by outcome, and those that wait', async (t) => {
  // A failing one would be announced by mail too.
  await world.sql('delete from webhooks')
  await ask('PATCH', '/v1/organizations/default/policy', {
    body: { notifications: { mail_to: ['gone@example.com', 'full@example.com', 'ada@example.com'] } },
  })
  await world.issue({ lifetime_days: 1 })
  clock.advance(day + 2 * minute)
  await dispatcher.flush()
  t.same(await metrics(/^counterfoil_mails_total/), {
    'mails_total{outcome="sent"}': 1,
    'mails_total{outcome="postponed"}': 1,
    'mails_total{outcome="failed"}': 1,
  })
  t.match(await backlog(), { mails_pending: 1 })
})

t.test('while the database fails, /metrics answers, without values of what waits', async (t) => {
  await world.sql('alter table outbox rename to hidden')
  await t.rejects(dispatcher.measureBacklog())
  t.match((await ask('GET', '/metrics')).text, /^counterfoil_outbox_events nan$/im)
  await world.sql('alter table hidden rename to outbox')
  t.match(await backlog(), { outbox_events: Number })
})

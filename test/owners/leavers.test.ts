// A user leaves: the directory or the identity provider says so to one instance, and another one stops accepting their
// tokens, also while its notifications do not arrive.
import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { createTrustingWorld } from '../issuers/trust.ts'
import { listen, risc, startTransmitter } from '../signals/transmitter.ts'
import { createTime } from '../support/credentials.ts'
import { createProxy } from '../support/proxy.ts'
import { createWorld } from '../support/world.ts'

const world = await createTrustingWorld(t)
const transmitter = await startTransmitter(t, () => world.clock.now)
const { push } = await listen(world, transmitter, { poll_url: transmitter.pollUrl })
const scim = await world.manager(['scim'])
const users = '/scim/v2/Users'

/** The other instance, the clock of its lease, and the connection over which it is notified. */
const time = createTime()
const proxy = await createProxy(t, world.databaseUrl)
const leases = new EventEmitter()
let isHeld = false
const other = await createWorld(t, {
  databaseUrl: world.databaseUrl,
  signing: world.signing,
  hot: {
    ...time,
    listenUrl: proxy.url,
    onLease(holds) {
      isHeld = holds
      leases.emit('news')
    },
  },
})
other.clock.now = world.clock.now
async function acquireLease() {
  while (!isHeld) {
    time.tick()
    await once(leases, 'news')
  }
}
await acquireLease()

async function isActive(token: string): Promise<boolean> {
  const response = await other.app.inject({
    method: 'POST',
    url: '/introspect',
    payload: `token=${token}`,
    headers: { authorization: `Bearer ${world.admin}`, 'content-type': 'application/x-www-form-urlencoded' },
  })
  return response.json().active
}

async function provision(userName: string): Promise<string> {
  const { body } = await world.ask('POST', users, { token: scim, body: { userName } })
  return `${users}/${body.id}`
}
const event = (type: string, sub: string, claims = {}) =>
  transmitter.event(`${risc}${type}`, { format: 'iss_sub', iss: transmitter.issuer, sub }, { claims })

/** How each leaves; the status is that of the request which says so. */
const ways: Record<string, (subject: string, user: string) => Promise<number>> = {
  'the directory deactivates the user': async (_subject, user) => {
    const body = { Operations: [{ op: 'Replace', path: 'active', value: 'False' }] }
    return (await world.ask('PATCH', user, { token: scim, body })).status
  },
  'the directory replaces the user by an inactive one': async (userName, user) =>
    (await world.ask('PUT', user, { token: scim, body: { userName, active: false } })).status,
  'the directory deletes the user': async (_subject, user) =>
    (await world.ask('DELETE', user, { token: scim })).status,
  'an event says that the account is disabled': async (subject) =>
    (await push(await event('account-disabled', subject))).status,
  'an event says that the account was purged': async (subject) =>
    (await push(await event('account-purged', subject))).status,
  'an event is polled': async (subject) => {
    transmitter.offered.set(subject, await event('credential-compromise', subject, { jti: subject }))
    // When the next poll is due.
    await world.sql("update signal_streams set poll_at = '-infinity'")
    await world.signals.poll()
    return transmitter.offered.has(subject) ? 500 : 200
  },
}

for (const [way, leave] of Object.entries(ways)) {
  t.test(`${way}: the other instance accepts the user's tokens no more`, async (t) => {
    const subject = `told: ${way}`
    const user = await provision(subject)
    const { secret } = await world.issue({ owner: { subject } })
    await other.credentials.settled()
    t.equal(await isActive(secret), true)
    t.ok((await leave(subject, user)) < 300)
    await other.credentials.settled()
    t.equal(await isActive(secret), false)
  })

  t.test(`${way}, and the other instance is not notified: it stops when its lease ends`, async (t) => {
    const subject = `untold: ${way}`
    const user = await provision(subject)
    const [kept, { secret }] = [await world.issue(), await world.issue({ owner: { subject } })]
    await other.credentials.settled()
    for (const token of [kept.secret, secret]) t.equal(await isActive(token), true)
    proxy.freeze()
    t.ok((await leave(subject, user)) < 300)
    t.equal(await isActive(secret), true, 'it answers from memory, within the bound')
    time.outlive()
    t.equal(await isActive(secret), false)
    t.equal(await isActive(kept.secret), true)
    proxy.thaw()
    await acquireLease()
  })
}

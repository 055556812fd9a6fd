import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { startInterval } from '../../src/shared/interval.ts'
import { canonicalJson } from '../../src/transparency-log/entry.ts'
import { rewrapLogKey } from '../../src/transparency-log/key.ts'
import { createSequencer } from '../../src/transparency-log/sequencer.ts'
import * as store from '../../src/transparency-log/store.ts'
import { verifyDatabase } from '../../src/transparency-log/verify-database.ts'
import { newDirectory } from '../support/embedded.ts'
import { hold } from '../support/locks.ts'
import { newMasterKey } from '../support/master-key.ts'
import { until } from '../support/until.ts'
import { createWorld } from '../support/world.ts'
import { startReceiver } from '../webhooks/receiver.ts'

const world = await createWorld(t, { outbound: { allow: ['127.0.0.1'] } })
const { ask, db, issue, sequencer, sql } = world
const address = '/v1/transparency-log'

async function sizes() {
  const { rows } = await sql(
    `select (select count(*)::int from audit_events) as events, (select count(*)::int from log_leaves) as leaves,
      (select count(*)::int from log_queue) as queued`,
  )
  return rows[0]
}

/** Writes events in one transaction, as many as there are tokens in a large import. */
function happen(count: number): string {
  return `insert into audit_events (organization_id, id, occurred_at, actor, action, target_type, target_id, target_name, request_id)
    select (select id from organizations where key = 'default'), gen_random_uuid(), timestamptz '2026-03-01T12:00:00Z',
      '{"type": "system", "id": "test", "name": "Test"}', 'token.updated', 'token', 'target', 'name ' || i, 'request'
    from generate_series(1, ${count}) i`
}

async function problems(checkpoint: string): Promise<string[]> {
  const found: string[] = []
  await verifyDatabase(db, { file: checkpoint }, (finding) => void found.push(JSON.stringify(finding)))
  return found
}

t.test('the log has every event, also those of before it', async (t) => {
  // As if the migration had found events.
  await sql('truncate log_queue')
  await issue()
  t.match(await ask('GET', address), { status: 404, body: { code: 'not_found', detail: /MASTER_KEY/ } })
  await sequencer.flush()
  const { events, leaves, queued } = await sizes()
  t.ok(events > 5)
  t.same({ leaves, queued }, { leaves: events, queued: 0 })
  const { status, body } = await ask('GET', address)
  t.equal(status, 200)
  t.match(body, { size: events, key: /^counterfoil\.test\/v1\/transparency-log\+[0-9a-f]{8}\+/ })
  t.same(await problems(body.checkpoint), [])
})

t.test('an event of a transaction that commits late is appended once it is committed', async (t) => {
  const late = await hold(t, world, happen(1))
  await issue()
  await sequencer.flush()
  const before = await sizes()
  t.equal(before.leaves, before.events)
  await late.query('commit')
  await sequencer.flush()
  const { leaves, events } = await sizes()
  t.same([leaves, events], [before.leaves + 1, before.events + 1])
})

t.test('an event of a transaction that was rolled back is not in the log', async (t) => {
  const undone = await hold(t, world, happen(1))
  const before = await sizes()
  await undone.query('rollback')
  await sequencer.flush()
  t.same(await sizes(), before)
})

t.test('changes do not wait for the log, and neither do other instances', async (t) => {
  const appending = await hold(t, world, 'select from log_state for update')
  const { leaves } = await sizes()
  await issue()
  await sequencer.flush()
  t.match(await sizes(), { leaves, queued: 1 }, 'another instance is appending')
  await appending.query('commit')
  await sequencer.flush()
  t.match(await sizes(), { leaves: leaves + 1, queued: 0 })
})

t.test('instances that append at the same time give each event one place', async (t) => {
  const { origin, now, log, onError } = {
    origin: 'x',
    now: () => world.clock.now,
    log: { error() {} },
    onError: t.fail,
  }
  const context = { origin, now, log, onError, signing: world.signing, every: () => () => {} }
  const others = [1, 2, 3].map(() => createSequencer(db, context))
  await sql(happen(1_500))
  do await Promise.all(others.map((each) => each.flush()))
  while ((await sizes()).queued > 0)
  const { leaves, events } = await sizes()
  t.equal(leaves, events)
  t.same(await problems((await ask('GET', address)).body.checkpoint), [])
})

t.test('an instance that fails while it appends leaves everything for the next one', async (t) => {
  await issue()
  await sql(`alter table log_state add constraint broken check (size = 0) not valid`)
  const before = await sizes()
  await t.rejects(sequencer.flush(), { message: /broken/ })
  t.same(await sizes(), before)
  await sql('alter table log_state drop constraint broken')
  await sequencer.flush()
  t.same(await sizes(), { events: before.events, leaves: before.events, queued: 0 })
  t.same(await problems((await ask('GET', address)).body.checkpoint), [])
})

t.test('the running service appends by itself', async (t) => {
  const context = { origin: 'x', now: () => world.clock.now, log: { error() {} }, onError: t.fail }
  const running = createSequencer(db, { ...context, signing: world.signing, every: startInterval })
  t.teardown(() => running.close())
  await issue()
  await until(async () => (await sizes()).queued === 0)
})

t.test(
  'webhooks of the platform get a checkpoint at most once a minute, and in the end the last',
  async (t) => {
    const receiver = await startReceiver(t)
    const body = { url: receiver.url, events: ['log.checkpoint'] }
    await ask('POST', '/v1/organizations/platform/webhooks', { body })
    t.match(await ask('POST', '/v1/organizations/default/webhooks', { body }), { status: 201 })
    for (let i = 0; i < 3; i++) {
      await issue()
      await sequencer.flush()
      world.clock.advance(25_000)
    }
    const { body: last } = await ask('GET', address)
    world.clock.advance(60_000)
    await sequencer.flush()
    await world.dispatcher.flush()
    const sent = receiver.messages.map((message) => message.body.data)
    t.ok(sent.length >= 1 && sent.length <= 3, `${sent.length} messages`)
    const { size, checkpoint } = last
    t.match(sent.at(-1), { organization: 'platform', size, checkpoint, origin: checkpoint.split('\n')[0] })
    const found: unknown[] = []
    const kept = sent.map((data) => data.checkpoint).join('\n')
    await verifyDatabase(db, { file: kept }, (finding) => void found.push(finding))
    t.same(found, [])
  },
)

t.test('without the master key events are appended, and signed once it is there again', async (t) => {
  const errors: unknown[] = []
  const context = { now: () => world.clock.now, every: () => () => {}, onError: t.fail, origin: 'x' }
  const log = { error: (facts: object) => void errors.push(facts) }
  const { checkpoint, size } = (await ask('GET', address)).body
  for (const masterKeys of [[], [newMasterKey()]]) {
    await issue()
    await createSequencer(db, { ...context, log, signing: { masterKeys, alg: 'EdDSA' } }).flush()
  }
  t.match(errors, [{ err: { message: /MASTER_KEY does not open the key of the transparency log/ } }])
  const { leaves, events } = await sizes()
  t.same([leaves, events], [size + 2, size + 2])
  t.equal((await ask('GET', address)).body.checkpoint, checkpoint)
  t.match(await store.selectBacklog(db, world.clock.now), {
    size: size + 2,
    unsigned: 2,
    unsequencedAgeSeconds: 0,
  })
  await sequencer.flush()
  t.match((await ask('GET', address)).body, { size: size + 2 })
})

t.test('a new master key takes over the key of the log', async (t) => {
  const next = { masterKeys: [newMasterKey(), ...world.signing.masterKeys], alg: 'EdDSA' as const }
  const { key } = (await ask('GET', address)).body
  t.equal(await rewrapLogKey(db, next), 1)
  await issue()
  const errors: unknown[] = []
  const context = { now: () => world.clock.now, every: () => () => {}, onError: t.fail, origin: 'x' }
  const signing = { ...next, masterKeys: next.masterKeys.slice(0, 1) }
  const log = { error: (facts: object) => void errors.push(facts) }
  await createSequencer(db, { ...context, log, signing }).flush()
  t.same(errors, [])
  const { body } = await ask('GET', address)
  t.match(body, { key, size: (await sizes()).events })
  t.same(await problems(body.checkpoint), [])
  await t.rejects(rewrapLogKey(db, { masterKeys: [newMasterKey()], alg: 'EdDSA' }), { message: /MASTER_KEY/ })
  await rewrapLogKey(db, { ...next, masterKeys: [...world.signing.masterKeys, ...next.masterKeys] })
})

async function tile(name: string) {
  const headers = { authorization: `Bearer ${world.admin}` }
  return world.app.inject({ method: 'GET', url: `${address}/tile/${name}`, headers })
}

t.test('tiles have the layout of C2SP tlog-tiles', async (t) => {
  const { size } = (await ask('GET', address)).body
  const [full, rest] = [Math.floor(size / 256), size % 256]
  const sized = {
    '0/000': 256,
    '0/001.p/3': 3,
    [`0/${String(full).padStart(3, '0')}.p/${rest}`]: rest,
    [`1/000.p/${full}`]: full,
  }
  for (const [name, hashes] of Object.entries(sized)) {
    const { statusCode, headers, rawPayload } = await tile(name)
    t.match(
      { statusCode, type: headers['content-type'], bytes: rawPayload.length },
      { statusCode: 200, type: 'application/octet-stream', bytes: hashes * 32 },
      name,
    )
  }
  for (const name of [
    '0/0',
    '0/x000/001',
    '0/000.p/0',
    '0/000.p/256',
    '64/000',
    '1/000',
    '2/000',
    '2/000.p/1',
    '0/x999/999',
    `0/${String(full).padStart(3, '0')}.p/${rest + 1}`,
    '',
    '%00',
  ])
    t.equal((await tile(name)).statusCode, name === '%00' ? 400 : 404, name)
})

const go = promisify(execFile)
const hasGo = await go('go', ['version']).then(
  () => true,
  () => false,
)

t.test(
  'the implementation of the Go checksum database verifies checkpoints, tiles and proofs',
  { skip: !hasGo && 'Go is not installed' },
  async (t) => {
    const directory = await newDirectory(t)
    const save = async (name: string, content: string | Buffer) => {
      await mkdir(dirname(join(directory, name)), { recursive: true })
      await writeFile(join(directory, name), content)
    }
    const older = (await ask('GET', address)).body
    await sql(happen(300))
    await sequencer.flush()
    const { key, size, checkpoint } = (await ask('GET', address)).body
    await save('key', key)
    await save('older', older.checkpoint)
    await save('checkpoint', checkpoint)
    for (const level of [0, 1]) {
      const nodes = Math.floor(size / 256 ** level)
      for (let index = 0; index * 256 < nodes; index++) {
        const width = Math.min(256, nodes - index * 256)
        const name = `${level}/${String(index).padStart(3, '0')}${width < 256 ? `.p/${width}` : ''}`
        await save(`tile/${name}`, (await tile(name)).rawPayload)
      }
    }
    const exported = await ask('GET', `/v1/organizations/default/audit-events/proofs?since=${older.size}`)
    const [head, ...lines] = exported.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    const entries = lines
      .filter((_line, n) => n % 50 === 0)
      .map(({ index, salt, proof, ...line }) => {
        const { organization_index, sequenced_at, event } = line
        const entry = canonicalJson({
          organization_id: head.organization_id,
          organization_index,
          sequenced_at,
          event,
        })
        return {
          index,
          proof,
          entry: Buffer.concat([Buffer.from(salt, 'base64'), Buffer.from(entry)]).toString('base64'),
        }
      })
    await save('proofs.json', JSON.stringify({ entries, consistency: head.consistency.proof }))
    const program = join(directory, 'go-tlog')
    await go('go', ['build', '-o', program, '.'], { cwd: join(import.meta.dirname, 'go-tlog') })
    t.equal((await go(program, [directory])).stdout, `${entries.length} entries\n`)
    t.ok(entries.length > 30)
    await save('tile/0/003', Buffer.alloc(256 * 32))
    const { stderr } = await go(program, [directory]).catch((error) => error)
    t.equal(stderr, 'invalid transparency proof\n', 'it rejects a wrong tile')
  },
)

t.test('the hash of a subtree that was changed is found', async (t) => {
  const { checkpoint } = (await ask('GET', address)).body
  await sql('update log_nodes set hash = sha256(hash) where node_index = 2')
  t.match(await problems(checkpoint), [/damaged.*log_nodes has another hash for 1\/2/])
  await sql('delete from log_nodes where node_index = 3')
  await sql("insert into log_nodes values (2, 0, sha256('another'))")
  t.match(await problems(checkpoint), [/1\/2/, /1\/3/, /log_nodes has 2\/0/])
})

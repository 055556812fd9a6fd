import { randomInt, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { sql } from 'kysely'
import t from 'tap'
import { presentEvent } from '../../src/audit/logged-event.ts'
import type { Db } from '../../src/db/database.ts'
import { append, type Node, rootOf, type Tree } from '../../src/shared/merkle-tree.ts'
import { platformId } from '../../src/shared/platform.ts'
import { hashEvent } from '../../src/transparency-log/entry.ts'
import type { Finding } from '../../src/transparency-log/findings.ts'
import { openLogKey, verifierKeyOf } from '../../src/transparency-log/key.ts'
import { signCheckpoint } from '../../src/transparency-log/note.ts'
import * as store from '../../src/transparency-log/store.ts'
import { verifyDatabase, verifySnapshot } from '../../src/transparency-log/verify-database.ts'
import { verifyExport } from '../../src/transparency-log/verify-export.ts'
import { failureOf, resultOf } from '../support/command.ts'
import { createWorld } from '../support/world.ts'

const world = await createWorld(t)
const { ask, db, sequencer } = world
const organizations = [
  platformId,
  (await ask('GET', '/v1/organizations/default')).body.id,
  // Deleted organizations have logs too.
  '019aa0c4-5b2f-7a10-8c3d-000000000009',
]

// Printed, so that a failure can be repeated.
const seed = Number(process.env.SEED ?? randomInt(2 ** 31))
t.comment(`SEED=${seed}`)
let state = seed
/** Mulberry32: a number from 0 to below the limit. */
function random(limit: number): number {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * limit)
}
const oneOf = <Item>(items: readonly Item[]): Item => items[random(items.length)] as Item

/** Writes events as the service does, with what is hard to put into one form. */
async function happen(count: number): Promise<void> {
  const rows = Array.from({ length: count }, () => ({
    organizationId: oneOf(organizations),
    id: randomUUID(),
    occurredAt: world.clock.now,
    actor: JSON.stringify({ type: 'token', name: oneOf(['Ada', 'Zoë', '\u2028', '']), id: randomUUID() }),
    onBehalfOf: oneOf([null, 'u-4711']),
    action: oneOf(['token.created', 'token.revoked', 'policy.updated']),
    targetType: 'token',
    targetId: randomUUID(),
    targetName: oneOf(['CI', '名前', '"quoted"\\']),
    changes: oneOf([
      null,
      JSON.stringify({ before: {}, after: { 10: 1.5, 9: 1e21, name: ['é', null, { b: 1, a: 2 }] } }),
    ]),
    requestId: randomUUID(),
    ip: oneOf([null, '192.0.2.7', '2001:db8::1']),
  }))
  await db.insertInto('auditEvents').values(rows).execute()
}

async function checkpoint(): Promise<string> {
  return (await ask('GET', '/v1/transparency-log/checkpoint')).text
}

async function findingsIn(from: 'database' | Db, kept: string): Promise<Finding[]> {
  const found: Finding[] = []
  const report = (finding: Finding) => void found.push(finding)
  if (from === 'database') await verifyDatabase(db, { file: kept }, report)
  else await verifySnapshot(from, { file: kept }, report)
  return found
}

const kept: string[] = []

t.test('nothing is found in 100 honest logs', async (t) => {
  const alarms: unknown[] = []
  for (let round = 0; round < 100; round++) {
    await happen(1 + random(2))
    world.clock.advance(random(5_000))
    if (round === 0 || random(3) > 0) await sequencer.flush()
    if (kept.length === 0 || random(4) === 0) kept.push(await checkpoint())
    const found = await findingsIn('database', random(2) === 0 ? oneOf(kept) : kept.join('\n'))
    if (found.length > 0) alarms.push({ round, found })
  }
  t.same(alarms, [])
  await sequencer.flush()
  kept.push(await checkpoint())
})

/** The tree of the events that there are now, as somebody would make it who has the key too. */
async function rebuild(tx: Db): Promise<void> {
  const leaves = await store.selectLeavesAfter(tx, -1, 10_000)
  const tree: Tree = { size: 0, subtrees: [] }
  const nodes: Node[] = []
  const counts = new Map<string, number>()
  const rebuilt = leaves.flatMap(({ event, ...leaf }) => {
    if (!event) return []
    const { organizationId, salt, sequencedAt } = leaf
    const organizationIndex = counts.get(organizationId) ?? 0
    counts.set(organizationId, organizationIndex + 1)
    const hash = hashEvent(presentEvent(event), { organizationId, organizationIndex, salt, sequencedAt })
    const placed = {
      ...leaf,
      leafIndex: String(tree.size),
      organizationIndex: String(organizationIndex),
      hash,
    }
    nodes.push(...append(tree, hash))
    return [placed]
  })
  for (const table of ['logLeaves', 'logNodes', 'logOrganizations'] as const)
    await tx.deleteFrom(table).execute()
  await store.insertLeaves(tx, rebuilt)
  await store.insertNodes(tx, nodes)
  await store.countEvents(tx, counts)
  const state = await store.findState(tx)
  const key = verifierKeyOf(state)
  if (!key || !state.sealedPrivateJwk) throw new Error('the log has no key')
  const opened = await openLogKey({ ...key, sealedPrivateJwk: state.sealedPrivateJwk }, world.signing)
  const signed = { origin: key.name, size: tree.size, root: rootOf(tree) }
  await store.updateState(tx, {
    size: String(tree.size),
    subtrees: Buffer.concat(tree.subtrees),
    checkpoint: await signCheckpoint(signed, opened),
    checkpointSize: String(tree.size),
  })
}

const changes = [
  sql`action = 'token.deleted'`,
  sql`actor = actor || '{"name": "Mallory"}'`,
  sql`target_id = target_id || 'x'`,
  sql`target_name = target_name || ' '`,
  sql`target_type = 'owner'`,
  sql`request_id = 'forged'`,
  sql`ip = '203.0.113.9'`,
  sql`on_behalf_of = 'mallory'`,
  sql`occurred_at = occurred_at - interval '1 millisecond'`,
  sql`changes = '{"before": {}, "after": {"name": "forged"}}'`,
]

type Leaves = store.LeafWithEvent[]
type Manipulation = (tx: Db, leaf: store.LeafWithEvent, leaves: Leaves) => Promise<Partial<Finding>[]>

const indexOf = ({ leafIndex }: { leafIndex: string }) => Number(leafIndex)
const whereIs = (leaf: { organizationId: string; eventId: string }) =>
  sql`organization_id = ${leaf.organizationId} and id = ${leaf.eventId}`
const exactly = (problem: Finding['problem'], leaf: store.LeafWithEvent) => ({
  problem,
  index: indexOf(leaf),
  event_id: leaf.eventId,
})
/** Without the hashes there is only between which kept checkpoints it is. */
const forked = async (tx: Db) => {
  await rebuild(tx)
  return [{ problem: 'forked' as const }]
}

async function changeEvent(tx: Db, leaf: store.LeafWithEvent): Promise<void> {
  await sql`update audit_events set ${oneOf(changes)} where ${whereIs(leaf)}`.execute(tx)
}

async function dropEvent(tx: Db, leaf: store.LeafWithEvent): Promise<void> {
  await sql`delete from audit_events where ${whereIs(leaf)}`.execute(tx)
}

async function dropLeaves(tx: Db, from: number, to: number): Promise<void> {
  await sql`with gone as (delete from log_leaves where leaf_index between ${from} and ${to} returning *)
    delete from audit_events using gone
    where audit_events.organization_id = gone.organization_id and id = event_id`.execute(tx)
}

/** Another leaf of the same organization. */
function another(leaf: store.LeafWithEvent, leaves: Leaves): store.LeafWithEvent {
  return oneOf(
    leaves.filter(
      (other) => other.leafIndex !== leaf.leafIndex && other.organizationId === leaf.organizationId,
    ),
  )
}

async function swapEvents(tx: Db, one: store.LeafWithEvent, other: store.LeafWithEvent): Promise<void> {
  const place = (at: store.LeafWithEvent, eventId: string) =>
    sql`update log_leaves set event_id = ${eventId} where leaf_index = ${at.leafIndex}`.execute(tx)
  await place(one, randomUUID())
  await place(other, one.eventId)
  await place(one, other.eventId)
}

async function insertEvent(tx: Db, like: store.LeafWithEvent): Promise<string> {
  const id = randomUUID()
  await sql`insert into audit_events (organization_id, id, occurred_at, actor, action, target_type, target_id, target_name, request_id)
    select organization_id, ${id}, occurred_at, actor, action, target_type, target_id, target_name, 'forged'
    from audit_events where ${whereIs(like)}`.execute(tx)
  return id
}

const manipulations: Record<string, Manipulation> = {
  async 'an event is changed'(tx, leaf) {
    await changeEvent(tx, leaf)
    return [exactly('changed', leaf)]
  },
  async 'an event is changed, and its leaf'(tx, leaf) {
    await changeEvent(tx, leaf)
    return forked(tx)
  },
  async 'an event is dropped'(tx, leaf) {
    await dropEvent(tx, leaf)
    return [exactly('dropped', leaf)]
  },
  async 'an event is dropped with its leaf'(tx, leaf, { length: size }) {
    await dropLeaves(tx, indexOf(leaf), indexOf(leaf))
    return [{ problem: indexOf(leaf) === size - 1 ? 'truncated' : 'dropped', index: indexOf(leaf) }]
  },
  async 'an event is dropped, and the tree built again'(tx, leaf, leaves) {
    await dropEvent(tx, leaf)
    await rebuild(tx)
    return [{ problem: 'rolled_back', index: leaves.length - 1 }]
  },
  async 'an event is inserted'(tx, leaf) {
    return [{ problem: 'inserted', event_id: await insertEvent(tx, leaf) }]
  },
  async 'an event is inserted, and the tree built again'(tx, leaf) {
    const { organizationId, salt, sequencedAt, hash } = leaf
    const eventId = await insertEvent(tx, leaf)
    const at = leaf.leafIndex
    await sql`update log_leaves set leaf_index = -2 - leaf_index where leaf_index >= ${at}`.execute(tx)
    await sql`update log_leaves set leaf_index = -1 - leaf_index where leaf_index < 0`.execute(tx)
    const place = { organizationId, organizationIndex: '0', eventId, leafIndex: at }
    await store.insertLeaves(tx, [{ ...place, salt, sequencedAt, hash }])
    return forked(tx)
  },
  async 'two events of an organization change places'(tx, leaf, leaves) {
    const other = another(leaf, leaves)
    await swapEvents(tx, leaf, other)
    return [
      { ...exactly('reordered', leaf), event_id: other.eventId },
      { ...exactly('reordered', other), event_id: leaf.eventId },
    ]
  },
  async 'two leaves change places'(tx, leaf, leaves) {
    const other = another(leaf, leaves)
    await sql`update log_leaves set leaf_index = -1 where leaf_index = ${leaf.leafIndex}`.execute(tx)
    await sql`update log_leaves set leaf_index = ${leaf.leafIndex} where leaf_index = ${other.leafIndex}`.execute(
      tx,
    )
    await sql`update log_leaves set leaf_index = ${other.leafIndex} where leaf_index = -1`.execute(tx)
    return [{ problem: 'reordered' }, { problem: 'forked' }]
  },
  async 'two events change places, and the tree is built again'(tx, leaf, leaves) {
    await swapEvents(tx, leaf, another(leaf, leaves))
    return forked(tx)
  },
  async 'the end of the log is cut off'(tx, leaf, { length: size }) {
    await dropLeaves(tx, indexOf(leaf), size)
    return [{ problem: 'truncated', index: indexOf(leaf) }]
  },
  async 'the database is an earlier one'(tx, leaf, { length: size }) {
    await dropLeaves(tx, indexOf(leaf), size)
    await rebuild(tx)
    return [{ problem: 'rolled_back', index: indexOf(leaf) }]
  },
  async 'the database is an earlier one that went on'(tx, leaf, { length: size }) {
    await dropLeaves(tx, indexOf(leaf), size)
    for (let index = indexOf(leaf); index < size + 3; index++) {
      const eventId = randomUUID()
      const { organizationId } = leaf
      await sql`insert into audit_events (organization_id, id, occurred_at, actor, action, target_type, target_id, target_name, request_id)
        values (${organizationId}, ${eventId}, now(), '{}', 'token.created', 'token', 'another', 'Another', 'another')`.execute(
        tx,
      )
      const { salt, sequencedAt, hash, organizationIndex } = leaf
      const place = { leafIndex: String(index), organizationId, organizationIndex, eventId }
      await store.insertLeaves(tx, [{ ...place, salt, sequencedAt, hash }])
    }
    return forked(tx)
  },
  async 'a salt is changed'(tx, leaf) {
    await sql`update log_leaves set salt = sha256(salt) where leaf_index = ${leaf.leafIndex}`.execute(tx)
    return [exactly('changed', leaf)]
  },
  async 'a hash is changed'(tx, leaf) {
    await sql`update log_leaves set hash = sha256(hash) where leaf_index = ${leaf.leafIndex}`.execute(tx)
    return [exactly('changed', leaf), { problem: 'forked' }]
  },
  async 'the state is changed'(tx) {
    await sql`update log_state set ${oneOf([
      sql`subtrees = sha256(subtrees)`,
      sql`checkpoint = replace(checkpoint, '=', 'A')`,
      sql`public_key = sha256(public_key)`,
      sql`origin = 'another'`,
    ])}`.execute(tx)
    return [{ problem: 'damaged' }]
  },
}

class Undone extends Error {}

t.test('100 of 100 random manipulations of the database are found, and which event it was', async (t) => {
  const leaves = await store.selectLeavesAfter(db, -1, 10_000)
  const names = Object.keys(manipulations)
  const missed: unknown[] = []
  for (let round = 0; round < 100; round++) {
    const name = names[round % names.length] as string
    // Not the first: a log without events has no checkpoint.
    const leaf = oneOf(leaves.slice(1))
    await db
      .transaction()
      .execute(async (tx) => {
        // What a superuser can do, who is not hindered by triggers.
        await sql`alter table audit_events disable trigger user`.execute(tx)
        const expected = (await manipulations[name]?.(tx, leaf, leaves)) ?? []
        const found = await findingsIn(tx, kept.join('\n'))
        const isFound = (one: Partial<Finding>) =>
          found.some((finding) =>
            Object.entries(one).every(([key, value]) => finding[key as keyof Finding] === value),
          )
        if (!expected.every(isFound)) missed.push({ round, name, index: leaf.leafIndex, expected, found })
        throw new Undone()
      })
      .catch((error) => {
        if (!(error instanceof Undone)) throw error
      })
  }
  t.same(missed, [])
  t.same(await findingsIn('database', kept.join('\n')), [], 'each was undone')
})

t.test('a fork is located between two kept checkpoints', async (t) => {
  // Some were kept twice.
  const sizes = [...new Set(kept.map((note) => Number(note.split('\n')[1])))]
  const [before = 0, after = 0] = [sizes.at(-3), sizes.at(-2)]
  await db
    .transaction()
    .execute(async (tx) => {
      await sql`alter table audit_events disable trigger user`.execute(tx)
      const [leaf] = await store.selectLeavesAfter(tx, before - 1, 1)
      if (!leaf) throw new Error('the log is too short')
      await changeEvent(tx, leaf)
      await rebuild(tx)
      const [first] = await findingsIn(tx, kept.join('\n'))
      t.match(first, {
        problem: 'forked',
        index: before,
        detail: `between the indexes ${before} and ${after - 1}`,
      })
      throw new Undone()
    })
    .catch((error) => t.ok(error instanceof Undone, error.message))
})

t.test('an event that was made up afterwards is late, before and after the log has it', async (t) => {
  const leaf = oneOf(await store.selectLeavesAfter(db, -1, 100))
  world.clock.advance(60 * 60 * 1000)
  await happen(1)
  await sequencer.flush()
  const event_id = await insertEvent(db, leaf)
  t.match(await findingsIn('database', kept.join('\n')), [{ problem: 'late', event_id }])
  await sequencer.flush()
  t.match(await findingsIn('database', kept.join('\n')), [{ problem: 'late', event_id }])
  kept.push(await checkpoint())
})

/** The lines of an export with proofs, after a change of one of them. */
const linesAfter = async (since: number, change: (lines: any[]) => unknown = () => {}) => {
  const { text } = await ask('GET', `/v1/organizations/default/audit-events/proofs?since=${since}`)
  const lines = text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  change(lines)
  return lines.map((line) => JSON.stringify(line))
}

async function findingsInExport(lines: string[], note: string): Promise<Finding[]> {
  const found: Finding[] = []
  await verifyExport(Readable.from([Buffer.from(lines.join('\n'))]), { file: note }, (finding) =>
    found.push(finding),
  )
  return found
}

t.test('an export is verified without the database', async (t) => {
  const note = kept[1] as string
  const size = Number(note.split('\n')[1])
  t.same(await findingsInExport(await linesAfter(size), note), [])
  t.same(
    await findingsInExport(await linesAfter(0), await checkpoint()),
    [],
    'the checkpoint of the export itself',
  )
  const at = ({ index, event }: any) => ({ index, event_id: event.id })
  const cases: Record<string, [change: (lines: any[]) => unknown, expected: (lines: any[]) => object[]]> = {
    'a changed event': [
      (lines) => Object.assign(lines[3].event.target, { name: 'Forged' }),
      (lines) => [{ problem: 'changed', ...at(lines[3]) }],
    ],
    'a changed actor': [
      (lines) => Object.assign(lines[3].event.actor, { name: 'Mallory' }),
      (lines) => [{ problem: 'changed', ...at(lines[3]) }],
    ],
    'another organization': [
      (lines) => Object.assign(lines[0], { organization_id: platformId }),
      (lines) => lines.slice(1).map((line) => ({ problem: 'changed', ...at(line) })),
    ],
    'a dropped event': [
      (lines) => lines.splice(4, 1),
      (lines) => [{ problem: 'dropped', detail: `number ${lines[4].organization_index}.` }],
    ],
    'an inserted event': [
      (lines) => lines.splice(4, 0, { ...lines[4], event: { ...lines[4].event, id: randomUUID() } }),
      (lines) => [
        { problem: 'inserted', ...at(lines[4]) },
        { problem: 'changed', index: lines[4].index },
      ],
    ],
    'events that changed places': [
      (lines) => {
        const [one, other] = [lines[2].event, lines[5].event]
        Object.assign(lines[2], { event: other })
        Object.assign(lines[5], { event: one })
      },
      (lines) => [
        { problem: 'reordered', index: lines[2].index, event_id: lines[5].event.id },
        { problem: 'reordered', index: lines[5].index, event_id: lines[2].event.id },
      ],
    ],
  }
  for (const [name, [change, expected]] of Object.entries(cases)) {
    const before = (await linesAfter(size)).map((line) => JSON.parse(line))
    const found = await findingsInExport(await linesAfter(size, change), note)
    const wanted = expected(before)
    t.match(found, wanted, name)
    t.equal(found.length, wanted.length, name)
  }
  const newest = await checkpoint()
  const old = await linesAfter(size)
  await happen(5)
  await sequencer.flush()
  t.match(
    await findingsInExport(old, await checkpoint()),
    [{ problem: 'rolled_back' }],
    'an export of an older log',
  )
  t.match(
    await findingsInExport(
      await linesAfter(size, ([head]) => Object.assign(head.consistency, { proof: [] })),
      note,
    ),
    [{ problem: 'forked' }],
    'a tree that does not begin with the kept one',
  )
  await t.rejects(findingsInExport(await linesAfter(0), newest), { message: /with since=\d+/ })
  await t.rejects(findingsInExport([], newest), { message: 'The export is empty.' })
  await t.rejects(findingsInExport(['{"id": 1}'], newest), { message: /^Line 1 / })
  await t.rejects(findingsInExport([...old.slice(0, 2), old[2]?.slice(0, 50) ?? ''], newest), {
    message: /^Line 3 /,
  })
  await t.rejects(findingsInExport(old, 'nothing'), { message: 'The file with checkpoints contains none.' })
})

t.test('a checkpoint that another key signed is reported', async (t) => {
  const [first = ''] = kept
  const forged = first.replace(/(?<=\n)[^=\n]{4}(?=[^=\n]{39}=\n)/, 'AAAA')
  t.match(await findingsIn('database', forged), [{ problem: 'forked', detail: /not signed by the key/ }])
})

const run = (args: string[]) => resultOf(['verify-log', ...args], { DATABASE_URL: world.databaseUrl })

t.test('counterfoil verify-log checks a database or an export, and says what is wrong', async (t) => {
  const directory = t.testdir({
    kept: kept.slice(-2).join('\n'),
    export: (await linesAfter(Number(kept.at(-1)?.split('\n')[1]))).join('\n'),
    nothing: '',
  })
  const file = (name: string) => join(directory, name)
  const checkpoint = ['--checkpoint', file('kept')]
  const { body: log } = await ask('GET', '/v1/transparency-log')
  t.same(await run(checkpoint), {
    output: `All ${log.size} events are as they were logged.\n`,
    code: 0,
  })
  t.same(await run([...checkpoint, '--key', log.key, '--json']), {
    output: `{"verified":${log.size}}\n`,
    code: 0,
  })
  t.match(await run([file('export'), ...checkpoint]), { output: /^All \d+ events/, code: 0 })

  const [leaf] = await store.selectLeavesAfter(db, 6, 1)
  await db.transaction().execute(async (tx) => {
    await sql`alter table audit_events disable trigger user`.execute(tx)
    await sql`update audit_events set target_name = 'forged' where id = ${leaf?.eventId}`.execute(tx)
  })
  t.same(await run(checkpoint), {
    output: `changed      index 7, ${leaf?.eventId}: It is not what was appended to the log.\n`,
    code: 1,
  })
  t.match(JSON.parse((await run([...checkpoint, '--json'])).output), { problem: 'changed', index: 7 })

  t.match(await failureOf(['verify-log']), { code: 64, message: /--checkpoint FILE/ })
  const env = { DATABASE_URL: world.databaseUrl }
  t.match(await failureOf(['verify-log', '--checkpoint', file('nothing')], env), {
    code: 78,
    message: /contains none/,
  })
  t.match(await failureOf(['verify-log', '--checkpoint', file('missing')], env), { code: 78 })
  t.match(await failureOf(['verify-log', file('nothing'), ...checkpoint], env), {
    code: 78,
    message: /is empty/,
  })
  t.match(await failureOf(['verify-log', ...checkpoint, '--key', 'x'], env), {
    code: 78,
    message: /not a verifier key/,
  })
})

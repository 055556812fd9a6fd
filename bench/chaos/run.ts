// Chaos test (npm run chaos): breaks databases in various ways, under load on two instances, and counts errors.
import { setTimeout as delay } from 'node:timers/promises'
import { newDirectory, postmasterPid } from '../../test/support/embedded.ts'
import { createProxy } from '../../test/support/proxy.ts'
import { startPair } from '../../test/support/standby.ts'
import { atEnd, cleanUp } from '../cleanup.ts'
import { openServer } from '../database.ts'
import { type Counts, onDatabase, startLoad } from './load.ts'
import { hasPatroni, startPatroni } from './patroni.ts'
import { upgradeAndBack } from './upgrade.ts'
import { type Delivered, deliverThroughKills } from './webhooks.ts'

type Load = Awaited<ReturnType<typeof startLoad>>
type Faults = [name: string, run: () => Promise<unknown>][]

/** The part of a tap test that the test helpers use. */
const lifetime = { teardown: atEnd } as unknown as Parameters<typeof startPair>[0]
const results: Record<string, Counts> = {}

async function breakAndCount(name: string, load: Load, faults: Faults): Promise<void> {
  results[name] = load.counts
  await delay(3_000)
  for (const [fault, run] of faults) {
    console.log(`${name}: ${fault}`)
    await run()
    await load.recovered()
    await delay(2_000)
  }
  await load.finish()
}

/** A primary with a synchronous standby, behind a name that can lead to either. */
async function onPair(): Promise<void> {
  const pair = await startPair(lifetime)
  const { asSuperuser } = pair.primary
  await asSuperuser("alter system set synchronous_standby_names = 'standby'")
  await asSuperuser('select pg_reload_conf()')
  const name = await createProxy(lifetime, pair.primary.url)
  const load = await startLoad(onDatabase(name.url))
  const ownBackends = "application_name like 'counterfoil%' and pid <> pg_backend_pid()"
  const stopFor = async (ms: number) => {
    const pids = (await asSuperuser('select pid from pg_stat_activity where pid <> pg_backend_pid()')).map(
      ({ pid }) => Number(pid),
    )
    const signal = (what: 'SIGSTOP' | 'SIGCONT') => {
      for (const pid of pids) {
        try {
          process.kill(pid, what)
        } catch {}
      }
    }
    signal('SIGSTOP')
    await delay(ms).finally(() => signal('SIGCONT'))
  }
  await breakAndCount('primary and standby', load, [
    [
      'all connections are ended',
      () => asSuperuser(`select pg_terminate_backend(pid) from pg_stat_activity where ${ownBackends}`),
    ],
    ['all connections are cut', async () => name.flip(pair.primary.url)],
    [
      'packets are lost for 4 s',
      async () => {
        name.freeze()
        await delay(4_000)
        name.thaw()
      },
    ],
    ['the server stands still for 4 s', () => stopFor(4_000)],
    [
      'a server process is killed',
      async () => {
        const [victim] = await asSuperuser(`select pid from pg_stat_activity where ${ownBackends} limit 1`)
        process.kill(Number(victim?.pid), 'SIGKILL')
      },
    ],
    [
      'the name leads to the standby for 5 s',
      async () => {
        name.flip(pair.standby.url)
        await delay(5_000)
        name.flip(pair.primary.url)
      },
    ],
    [
      'kill -9 of the primary, the standby is promoted',
      async () => {
        await pair.primary.kill()
        await pair.promote()
        await pair.standby.asSuperuser("alter system set synchronous_standby_names = ''")
        await pair.standby.asSuperuser('select pg_reload_conf()')
        name.flip(pair.standby.url)
      },
    ],
  ])
}

async function onPatroni(): Promise<void> {
  const cluster = await startPatroni()
  const load = await startLoad(onDatabase(cluster.url))
  const [switchover, kill]: Faults = [
    ['switchover', cluster.switchover],
    ['kill -9 of the primary', cluster.killPrimary],
  ]
  const settle: Faults[number] = ['both servers are back', cluster.settled]
  const rounds = [switchover, kill].flatMap((fault) => [fault, settle, fault, settle, fault, settle])
  await breakAndCount('Patroni', load, rounds as Faults)
}

/** One instance with the embedded PostgreSQL, which restarts it. */
async function onEmbedded(): Promise<void> {
  const dataDir = await newDirectory(lifetime)
  const load = await startLoad([{ DATA_DIR: dataDir }])
  const kill: Faults[number] = [
    'kill -9 of the embedded postmaster',
    async () => {
      const pid = await postmasterPid(dataDir)
      process.kill(pid, 'SIGKILL')
      const deadline = performance.now() + 60_000
      while ((await postmasterPid(dataDir).catch(() => pid)) === pid) {
        if (performance.now() > deadline) throw new Error('the embedded postmaster was not restarted')
        await delay(20)
      }
    },
  ]
  await breakAndCount('embedded', load, [kill, kill, kill])
}

/** Two instances that deliver events while they are killed. */
async function onWebhooks(): Promise<void> {
  delivered = await deliverThroughKills(Number(process.argv[3] ?? 10_000))
}

let delivered: Delivered | undefined
let failed = false

/** The last release and this one side by side, and back. */
async function onUpgrade(): Promise<void> {
  const server = await openServer(await newDirectory(lifetime))
  const counts = await upgradeAndBack(await server.createDatabase(), Number(process.argv[3] ?? 1_000_000))
  results.upgrade = counts
  // Nothing is broken here, so that no request may fail.
  if (counts.unavailable + counts.unanswered > 0) failed = true
}

for (const run of [onPair, onEmbedded, onWebhooks, onUpgrade, ...(hasPatroni() ? [onPatroni] : [])]) {
  if (process.argv[2] && run.name !== process.argv[2]) continue
  try {
    await run()
  } catch (error) {
    failed = true
    console.error(error)
  }
  await cleanUp()
}
if (!hasPatroni()) console.log('Patroni and etcd are not installed: nothing was tried with them.')
console.table(results)
if (delivered) {
  console.table({ webhooks: delivered })
  if (delivered.lost + delivered.outOfOrder + delivered.unknown > 0) failed = true
}
for (const { lost, acceptedAfterTheBound, otherServerErrors, restartsNeeded } of Object.values(results))
  if (lost + acceptedAfterTheBound + otherServerErrors + restartsNeeded > 0) failed = true
process.exit(failed ? 1 : 0)

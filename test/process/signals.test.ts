// What a signal does in each phase, to process 1 of a container: the kernel gives it no default actions, so a signal
// that arrives before there is a handler is lost.

import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import t, { type Test } from 'tap'
import { cloneDatabase } from '../support/database.ts'
import { preparedDirectory } from '../support/embedded.ts'
import { freePort, type Run, run, said } from '../support/process.ts'
import { canBeProcessOne, runAsProcessOne } from '../support/process-one.ts'
import { until } from '../support/until.ts'

type Env = Record<string, string>
type Phase = {
  args?: string[]
  env(t: Test): Promise<Env>
  /** Resolves when the process is in this phase. */
  reached(started: Run, env: Env): Promise<unknown>
}

const says = `process.on('newListener', (name) => { if (name === 'SIGTERM') console.log('a handler') })`

const external = async (): Promise<Env> => ({
  DATABASE_URL: await cloneDatabase(),
  ADMIN_TOKEN: 'an-administrator-token-of-the-signal-tests',
})

async function embedded(t: Test): Promise<Env> {
  const dataDir = await mkdtemp(join(tmpdir(), 'counterfoil-signals-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true, maxRetries: 5 }))
  return { DATA_DIR: dataDir }
}

const prepared = async (t: Test): Promise<Env> => ({ DATA_DIR: await preparedDirectory(t) })

/** A database that another instance is migrating. */
async function locked(t: Test): Promise<Env> {
  const env = await external()
  const client = new pg.Client({ connectionString: env.DATABASE_URL })
  await client.connect()
  t.teardown(() => client.end())
  await client.query('select pg_advisory_lock(7662)')
  return env
}

async function waitsForLock({ DATABASE_URL }: Env): Promise<void> {
  const client = new pg.Client({ connectionString: DATABASE_URL })
  await client.connect()
  const waiting = `select from pg_stat_activity where datname = current_database() and wait_event = 'advisory'`
  await until(async () => (await client.query(waiting)).rowCount)
  await client.end()
}

const phases: Record<string, Phase> = {
  'importing its modules': {
    env: async () => ({
      ...(await external()),
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURI(says)}`,
    }),
    reached: (started) => said(started, 'a handler'),
  },
  'making the data directory of the embedded database': {
    env: embedded,
    reached: (_started, { DATA_DIR = '' }) =>
      until(async () => (await readdir(DATA_DIR)).some((name) => name.startsWith('postgres.new-'))),
  },
  'starting the embedded database': {
    env: prepared,
    reached: (_started, { DATA_DIR = '' }) =>
      until(async () =>
        (await readdir(join(DATA_DIR, 'postgres')).catch((): string[] => [])).includes('postmaster.pid'),
      ),
  },
  'waiting for another instance to migrate': {
    env: locked,
    reached: (_started, env) => waitsForLock(env),
  },
  'starting workers': {
    env: async () => ({
      ...(await external()),
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURI(says)}`,
      WORKERS: '2',
    }),
    reached: (started) => until(async () => started.output().split('a handler').length > 2),
  },
  serving: { env: external, reached: (started) => said(started, 'Server listening') },
  'serving on the embedded database': {
    env: prepared,
    reached: (started) => said(started, 'Counterfoil is running'),
  },
  'serving by workers': {
    env: async () => ({ ...(await external()), WORKERS: '2' }),
    reached: (started) => said(started, 'Server listening'),
  },
}

const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

async function stopIn(t: Test, phase: Phase, signal: NodeJS.Signals) {
  // Ctrl-C skips the grace period, in whatever phase; the test would not end otherwise.
  const grace = signal === 'SIGINT' && { SHUTDOWN_GRACE_SECONDS: '300' }
  const env = { PORT: String(await freePort()), ...grace, ...(await phase.env(t)) }
  const started = canBeProcessOne()
    ? runAsProcessOne(t, phase.args ?? [], env)
    : Object.assign(run(t, phase.args ?? [], env), {
        async kill(this: Run, name: NodeJS.Signals) {
          this.child.kill(name)
        },
      })
  await phase.reached(started, env)
  await started.kill(signal)
  return { ...(await started.exit), output: started.output() }
}

t.test(
  'process 1 of a container can be tested here',
  {
    skip:
      !canBeProcessOne() && 'unshare --pid is not permitted: the signals are tried on an ordinary process',
  },
  async () => {},
)

for (const [name, phase] of Object.entries(phases)) {
  t.test(`a signal while ${name} ends the service with 0`, async (t) => {
    const stopped = await Promise.all(signals.map((signal) => stopIn(t, phase, signal)))
    for (const [index, { code, output }] of stopped.entries()) {
      t.equal(code, 0, `${signals[index]}: ${output}`)
      t.notMatch(output, /counterfoil: /, 'there is nothing to complain about')
    }
  })
}

t.test('a data directory whose creation was interrupted by a signal can be used afterwards', async (t) => {
  const phase = phases['making the data directory of the embedded database'] as Phase
  const env = await embedded(t)
  await stopIn(t, { ...phase, env: async () => env }, 'SIGTERM')
  t.match(
    await stopIn(
      t,
      { ...phase, env: async () => env, reached: (started) => said(started, 'Counterfoil is running') },
      'SIGTERM',
    ),
    {
      code: 0,
    },
  )
})

t.test("a command interrupted by a signal ends with 128 plus the signal's number", async (t) => {
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const) {
    const phase = phases['waiting for another instance to migrate'] as Phase
    t.match(await stopIn(t, { ...phase, args: ['migrate'] }, signal), { code }, signal)
  }
})

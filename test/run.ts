// Runs the tests against a real PostgreSQL: TEST_DATABASE_URL, a container (TEST_POSTGRES=container), or else the
// embedded one. `npm test -- test/tokens test/http/wire.test.ts` runs the tests of a folder and of a file, with `-g
// <pattern>` only those whose name matches.
import { chmod, mkdtemp, rm, statfs } from 'node:fs/promises'
import { availableParallelism, freemem, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { t } from 'tap'
import { buildConsole } from '../console/build.ts'
import { createPool } from './runner/pool.ts'
import { testFiles } from './runner/test-files.ts'
import { openServer } from './support/postgres-server.ts'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    grep: { type: 'string', short: 'g', multiple: true },
    only: { type: 'boolean' },
    // Tests also wait: for locks, timers and other processes.
    jobs: { type: 'string', short: 'j', default: `${availableParallelism() + 2}` },
    reporter: { type: 'string', short: 'R', default: 'min' },
  },
})
const files = testFiles(positionals)
const scratch = await mkdtemp(join(await temporaryFolder(), 'counterfoil-test-'))
// PostgreSQL runs as another user under root, who must be able to pass through.
await chmod(scratch, 0o711)
let server: ReturnType<typeof openServer> | undefined
const pool = createPool(
  Math.min(Number(options.jobs), files.length),
  {
    ...process.env,
    TEST_RECORDS: scratch,
    TMPDIR: scratch,
    // Processes that tests start reuse code compiled by others, and so does the next run.
    NODE_COMPILE_CACHE: join(import.meta.dirname, '../node_modules/.cache/node-compile'),
    ...(options.grep && { TAP_GREP: options.grep.join('\n') }),
    ...(options.only && { TAP_ONLY: '1' }),
  },
  () => {
    server ??= openServer(join(scratch, 'postgres'))
    return server
  },
)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => pool.kill())

const failures: string[] = []
t.setTimeout(0)
await buildConsole()
if (options.reporter === 'tap') t.pipe(process.stdout)
else {
  // Meanwhile the processes load the first test files.
  const { report } = await import('@tapjs/reporter')
  await report(options.reporter, t, undefined as never)
}
t.on('data', (tap: string) => failures.push(...(tap.match(/^ *not ok .*$/gm) ?? [])))
await pool.run(t, files)
// Searches what the whole suite logged and stored; a selection of tests may do neither.
if (positionals.length === 0 && !options.grep) await pool.run(t, ['test/after-suite.ts'])
t.end()
await pool.close()
await (await server)?.close()
await rm(scratch, { recursive: true, force: true })

const { pass, fail } = t.assertTotals
failures.push(...pool.failures)
const ok = t.passing() && failures.length === 0
for (const line of failures) console.log(line)
const slowest = [...pool.cpuSeconds].sort(([, one], [, other]) => other - one).slice(0, 10)
console.log(
  '\nThe files that took most CPU seconds, without those of PostgreSQL and of processes they started:',
)
for (const [name, seconds] of slowest) console.log(`${seconds.toFixed(1).padStart(6)}  ${name}`)
console.log(
  `\n${files.length} test file${files.length === 1 ? '' : 's'} in ${Math.round(performance.now() / 1000)} s`,
)
console.log(`\n${pass} passed, ${ok ? 0 : Math.max(fail, 1)} failed`)
process.exitCode = ok ? 0 : 1

/** Memory where there is plenty: all databases of a run take some 3 GB, and writing them to a disk takes time. */
async function temporaryFolder(): Promise<string> {
  const memory = '/dev/shm'
  const { bavail, bsize } = await statfs(memory).catch(() => ({ bavail: 0, bsize: 0 }))
  return Math.min(bavail * bsize, freemem()) > 8 * 1024 ** 3 ? memory : tmpdir()
}

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'

const root = join(import.meta.dirname, '../..')

/** Runs the fixtures as `npm test` would, in one process. */
async function run(...names: string[]) {
  const files = names.map((name) => `test/runner/fixtures/${name}.ts`)
  const child = spawn(process.execPath, ['test/run.ts', '-j', '1', '-R', 'tap', ...files], {
    cwd: root,
    env: { ...process.env, TAP_TIMEOUT: '3' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  return { code, stdout, stderr, last: stdout.trimEnd().split('\n').at(-1) }
}

t.test('a run whose files pass ends with 0', async (t) => {
  const { code, last } = await run('passes')
  t.match({ code, last }, { code: 0, last: '1 passed, 0 failed' })
})

for (const name of ['fails', 'throws-in-teardown', 'ends-its-process', 'hangs']) {
  t.test(
    `a file that ${name.replaceAll('-', ' ')} fails the run, which names it; the next file still runs`,
    async (t) => {
      const { code, stdout, last } = await run(name, 'passes')
      t.equal(code, 1)
      t.match(last, /^[12] passed, [1-9] failed$/)
      t.match(stdout.split('\n# ').at(-1), new RegExp(`${name}\\.ts`))
      t.match(stdout, /ok \d+ - test\/runner\/fixtures\/passes\.ts/)
    },
  )
}

t.test('the run counts every assertion of a process that is replaced after its file', async (t) => {
  const { stdout, last } = await run('grows', 'passes')
  t.notMatch(stdout, /the process ended/)
  t.equal(last, '2 passed, 0 failed')
})

t.test('the time limit of a file ends with it', async (t) => {
  const { code, stderr } = await run('passes', 'runs-longer')
  t.strictSame({ code, stderr }, { code: 0, stderr: '' })
})

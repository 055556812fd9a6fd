// A process that runs the test files that pool.ts hands out, one after the other, so that imports are loaded only once.
// Each file has its own test, with its own hooks, teardown and timeout: `import t from 'tap'` in the file gives that
// test.
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Test, TestBase } from 'tap'

const root = join(import.meta.dirname, '../..')
const tests = new Map<string, Test>()
Object.assign(globalThis, { counterfoilTests: tests })

// What tap tracks every promise with, to know the test that an uncaught error belongs to. This process handles those
// itself, below, and the tracking makes every await thirty times slower.
const withoutTracking = 'data:text/javascript,export class Domain { destroy() {} }'

const testServer = pathToFileURL(join(import.meta.dirname, 'test-server.ts')).href

registerHooks({
  resolve(specifier, context, nextResolve) {
    if (specifier === 'async-hook-domain') return { url: withoutTracking, shortCircuit: true }
    if (specifier !== 'tap' || !tests.has(context.parentURL ?? '')) return nextResolve(specifier, context)
    return { url: `tap-of:${context.parentURL}`, shortCircuit: true }
  },
  load(url, context, nextLoad) {
    // The file will need PostgreSQL, which can start while the other imports are loaded.
    if (url === testServer) process.send?.({ asks: 'server' })
    if (!url.startsWith('tap-of:')) return nextLoad(url, context)
    const source = `export default globalThis.counterfoilTests.get(${JSON.stringify(url.slice(7))})`
    return { format: 'module', source, shortCircuit: true }
  },
})

// Each message costs more than the assertion in it.
let output = ''
const flush = () => {
  if (output !== '') process.send?.({ tap: output })
  output = ''
}
process.on('exit', flush)

const tap = await import('tap')
// It has no tests of its own and is never done.
tap.t.setTimeout(0)

class FileTest extends tap.Test {
  override setTimeout(ms: number): void {
    // For the case that this process is too busy to enforce it.
    process.send?.({ timeout: ms })
    super.setTimeout(ms)
  }

  override timeout(options?: Parameters<Test['timeout']>[0]): void {
    super.timeout(options)
    this.endAll()
    timedOut = true
  }
}

/** In bytes: a process whose memory is larger is replaced after its file. */
const largest = 1.5 * 1024 ** 3

let current: Test | undefined
let timedOut = false

function runningTest(test: TestBase): TestBase {
  const [child] = test.activeSubtests
  return child ? runningTest(child as TestBase) : test
}

for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (error) => {
    if (!current) throw error
    runningTest(current).threw(error)
  })
}

process.on('message', ({ run: name, timeout }: { run?: string; timeout: number }) => {
  if (!name) return
  const url = pathToFileURL(join(root, name)).href
  const cb = async (t: Test) => {
    tests.set(url, t)
    await import(url)
  }
  const before = process.cpuUsage()
  const test = new FileTest({ name, timeout, cb })
  current = test
  test.on('data', (tap: string) => {
    if (output === '') setImmediate(flush)
    output += tap
  })
  test.runMain(() => {
    // Called again if a teardown throws.
    if (current !== test) return
    current = undefined
    // Nothing else stops its timer, since this test has no parent.
    test.setTimeout(0)
    const { user, system } = process.cpuUsage(before)
    // What files keep in module scope, such as their worlds, stays until the process ends.
    const isLarge = process.memoryUsage.rss() > largest
    // What a file has started and not ended would disturb the next one.
    const reusable = !timedOut && !isLarge
    const message = { done: true, passed: test.passing(), reusable, cpu: (user + system) / 1e6 }
    flush()
    // Disconnecting drops the messages that are not written yet.
    process.send?.(message, () => reusable || process.disconnect?.())
  })
})

process.on('disconnect', () => {
  if (current || timedOut) process.exit(1)
  // Open handles keep the process alive.
  const limit = setTimeout(() => {
    console.error('a test left something open:', process.getActiveResourcesInfo())
    process.exit(1)
  }, 10_000)
  limit.unref()
})

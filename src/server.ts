#!/usr/bin/env node
// Signals first, then the program: its imports take a while, and the kernel drops signals without a handler for process
// 1, such as in a container without an init.
import cluster from 'node:cluster'
import { enableCompileCache } from 'node:module'
import { constants } from 'node:os'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import closeWithGrace from 'close-with-grace'
import { exitCodes } from './exit-codes.ts'
import { createShutdown } from './shutdown.ts'

const shutdown = createShutdown()
const serves = process.argv.slice(2).every((argument) => argument.startsWith('-') || argument === 'serve')

// A terminal signals every process of its group; workers wait for the primary instead.
const forPrimary = cluster.isWorker ? (['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) : []
for (const signal of forPrimary) process.on(signal, () => {})

const { close } = closeWithGrace(
  {
    delay: false,
    logger: false,
    skip: [...forPrimary, 'beforeExit'],
    onSecondSignal(signal) {
      shutdown.log?.error({ signal }, 'stopping at once after a second signal')
      process.exit(exitCodes.incomplete)
    },
    onSecondError(error) {
      ;(shutdown.log ?? console).error(error, 'stopping at once after a second unexpected error')
      process.exit(exitCodes.software)
    },
  },
  async ({ err, signal }) => {
    if (err) (shutdown.log ?? console).error(err, 'stopping after an unexpected error')
    else shutdown.log?.info({ signal }, 'stopping')
    if (signal === 'SIGINT') shutdown.graceful = false
    setTimeout(() => {
      shutdown.log?.error(`not stopped within ${shutdown.limitMs} ms`)
      process.exit(exitCodes.incomplete)
    }, shutdown.limitMs)
    try {
      await shutdown.close()
    } catch (error) {
      ;(shutdown.log ?? console).error(error, 'stopping failed')
      process.exit(exitCodes.software)
    }
    if (err) process.exit(exitCodes.software)
    // An interrupted command must not appear to have succeeded.
    process.exit(serves || !signal ? exitCodes.done : 128 + constants.signals[signal])
  },
)

cluster.worker?.on('message', ({ type, graceful }) => {
  if (type !== 'stop') return
  shutdown.graceful = graceful
  close()
})

// The next start takes a quarter less CPU time (from `dist/`, a tenth). Cached code is executed without a check, so it is
// in the folder of the program: only a user who can replace the program can write there.
enableCompileCache(fileURLToPath(new URL('../.compile-cache', import.meta.url)))

const { main } = await import('./main.ts')
await main(shutdown)

// A slowly filling cache does not need a heap of several times its contents. Set after the start, which would otherwise
// only collect garbage more often.
setFlagsFromString('--heap-growing-percent=20')

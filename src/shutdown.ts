import type { Logger } from 'pino'

/** How the parts of the process learn that it is to end, and say what is to be done before it does. */
export type Shutdown = {
  /** Aborted as soon as the process is to end: a start that is under way gives up. */
  readonly requested: AbortSignal
  /** Whether clients get the grace time. Ctrl-C does without: somebody waits at the terminal. */
  graceful: boolean
  /** How long `close` may take. */
  limitMs: number
  /** Undefined until the configuration has been read. */
  log: Logger | undefined
  /** Has `close` run this, before what was deferred earlier. */
  defer(step: () => Promise<unknown>): void
  close(): Promise<void>
}

export function createShutdown(): Shutdown {
  const controller = new AbortController()
  const steps: (() => Promise<unknown>)[] = []
  return {
    requested: controller.signal,
    graceful: true,
    limitMs: 30_000,
    log: undefined,
    defer(step) {
      steps.push(step)
    },
    async close() {
      controller.abort()
      for (let step = steps.pop(); step; step = steps.pop()) await step()
    },
  }
}

import type { Logger } from 'pino'

/** Announces to the parts of the process that it is about to end, and collects what must be done first. */
export type Shutdown = {
  /** Aborted as soon as the process is about to end; a startup in progress gives up. */
  readonly requested: AbortSignal
  /** Whether clients get the grace period. After Ctrl-C they do not: someone is waiting at the terminal. */
  graceful: boolean
  /** How long `close` may take. */
  limitMs: number
  /** Undefined until the configuration has been read. */
  log: Logger | undefined
  /** Makes `close` run this, before what was deferred earlier. */
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

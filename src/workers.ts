import cluster, { type Worker } from 'node:cluster'
import type { Logger } from 'pino'
import { AggregatorRegistry, Registry } from 'prom-client'
import { exitCodes, type Failure, WorkerFailedError } from './exit-codes.ts'
import type { Measuring } from './http/metrics.ts'

// Workers that fail at every start must not keep the machine busy with restarts.
const restartMs = { least: 100, most: 10_000 }

export type Workers = {
  /** Resolves when the first worker accepts connections; rejects with its reason and exit code if that fails. */
  ready: Promise<void>
  /** Lets workers finish their requests; resolves with 0, or with the exit code of one that failed to. */
  stop(graceful: boolean): Promise<number>
  kill(): void
}

/** Runs `count` copies of this program, which share its port. One that ends is replaced. */
export function startWorkers(count: number, env: object, log: Logger): Workers {
  const ready = Promise.withResolvers<void>()
  const stopped = Promise.withResolvers<number>()
  let exitCode: number = exitCodes.done
  let started = false
  let stopping = false
  let delay = restartMs.least

  const running = new Set<Worker>()
  const listening = new Set<Worker>()
  const failures = new Map<Worker, Failure>()
  const kill = () => {
    for (const worker of running) worker.process.kill('SIGKILL')
  }
  const fork = () => {
    if (!stopping) running.add(cluster.fork(env))
  }

  cluster.on('listening', (worker: Worker) => {
    // It was killed while this message was in flight, and has nothing to finish.
    if (stopping) return
    listening.add(worker)
    started = true
    ready.resolve()
  })
  cluster.on('exit', (worker: Worker, code: number | null, signal: string | null) => {
    running.delete(worker)
    const served = listening.delete(worker)
    const { pid } = worker.process
    const failure = failures.get(worker)
    failures.delete(worker)
    if (stopping) {
      if (served) exitCode ||= code ?? exitCodes.incomplete
      if (running.size === 0) stopped.resolve(exitCode)
    } else if (started) {
      const how = failure ? { code: failure.code, reason: failure.message } : { code, signal }
      log.error({ pid, ...how, delay }, 'a worker ended and is replaced')
      setTimeout(fork, delay)
      delay = Math.min(delay * 2, restartMs.most)
    } else {
      // The others fail for the same reason, which is reported once.
      stopping = true
      kill()
      const crash = { message: 'A worker ended while it was starting.', code: code ?? exitCodes.software }
      ready.reject(new WorkerFailedError(failure ?? crash))
    }
  })
  setInterval(() => {
    delay = restartMs.least
  }, 60_000).unref()
  const aggregate = new AggregatorRegistry()
  cluster.on('message', async (worker, message) => {
    if (message.type === 'failed') {
      failures.set(worker, message)
      worker.process.kill('SIGKILL')
    }
    if (message.type !== 'metrics' || !worker.isConnected()) return
    const metrics = await aggregate.clusterMetrics().catch(() => '')
    if (worker.isConnected()) worker.send({ type: 'metrics', id: message.id, metrics })
  })
  for (let i = 0; i < count; i++) fork()

  return {
    ready: ready.promise,
    stop(graceful) {
      stopping = true
      if (running.size === 0) stopped.resolve(exitCode)
      for (const worker of running) {
        // A starting worker has nothing to finish, and would not read the message before it has started.
        if (!listening.has(worker)) worker.process.kill('SIGKILL')
        else if (worker.isConnected()) worker.send({ type: 'stop', graceful })
      }
      return stopped.promise
    },
    kill,
  }
}

/**
 * In a worker: has the primary report the failure and end this process. If the process ended itself, the message could
 * be lost. Calls `orphaned` if the primary has ended.
 */
export function failIn(worker: Worker, failure: Failure, orphaned: () => void): void {
  worker.send({ type: 'failed', ...failure }, (error) => error && orphaned())
}

/** In a worker: its own registry, and the combined metrics of all workers. */
export function measureInWorker(worker: Worker): Measuring {
  const registry = new Registry()
  const waiting = new Map<number, (metrics: string) => void>()
  let asked = 0
  AggregatorRegistry.setRegistries([registry])
  new AggregatorRegistry()
  worker.on('message', ({ type, id, metrics }) => {
    if (type !== 'metrics') return
    waiting.get(id)?.(metrics)
    waiting.delete(id)
  })
  return {
    registry,
    render() {
      asked += 1
      const { promise, resolve } = Promise.withResolvers<string>()
      waiting.set(asked, resolve)
      worker.send({ type: 'metrics', id: asked })
      return promise
    },
  }
}

import type { FastifyInstance } from 'fastify'
import pino, { type DestinationStream, type Logger } from 'pino'
import { maskSecrets } from '../tokens/secret.ts'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** JSON lines. Headers and bodies are never logged; the redaction stands against later code that would do so. */
export function createLogger(level: LogLevel, destination: DestinationStream = standardOutput()): Logger {
  const names = ['authorization', 'token', 'secret', 'password', 'connectionString']
  const options = {
    level,
    redact: { paths: names.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '[redacted]' },
    serializers: { err: describeError },
  }
  return pino(options, destination)
}

/** To hand each line to another thread, as pino does by itself, takes longer than to write it. */
function standardOutput(): DestinationStream {
  return pino.destination({ sync: true })
}

/** Only these members: a database error's `detail` quotes values. */
function describeError({ name, message, stack, ...more }: Error & { code?: string; cause?: unknown }) {
  return { type: name, code: more.code, message: maskSecrets(message), stack: maskSecrets(stack ?? '') }
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Asked too often for a line about every request, unless LOG_LEVEL is debug or trace. */
    quiet?: boolean
  }
}

/** Whether there is to be a line about every single request. */
export function isVerbose({ level }: { level?: string }): boolean {
  return level === 'debug' || level === 'trace'
}

/** One line a request: the route and its parameters rather than the URL, where people put tokens by mistake. */
export function logRequests(app: FastifyInstance): void {
  const quietToo = isVerbose(app.log)
  app.addHook('onResponse', (request, reply, done) => {
    done()
    const { routeOptions, log } = request
    if (routeOptions.config.quiet && !quietToo) return
    const { method, params, ip, caller } = request
    log.info(
      {
        reqId: request.id,
        method,
        route: routeOptions.url ?? null,
        params: maskSecrets(JSON.stringify(params ?? {})),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime * 100) / 100,
        principal: caller?.actor.id,
        ip,
      },
      'request',
    )
  })
}

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import pino, { type DestinationStream, type Logger } from 'pino'
import { plainAddress } from '../shared/addresses.ts'
import { maskSecrets } from '../shared/secret.ts'
import { tracing } from '../shared/tracing.ts'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** Logs JSON lines. */
export function createLogger(level: LogLevel, destination: DestinationStream = standardOutput()): Logger {
  const serializers = { err: describeError }
  const log = (line: object) => withoutSecrets(line) as Record<string, unknown>
  return pino(
    { level, formatters: { log }, serializers, ...(tracing && { mixin: tracing.ids }) },
    destination,
  )
}

const secretNames = new Set(['authorization', 'token', 'secret', 'password', 'connectionString'])

/**
 * Headers and bodies are never logged; this is a safety net for later code that might. pino's own `redact` with
 * wildcards costs several times as much as the rest of a line.
 */
function withoutSecrets(value: unknown, depth = 0): unknown {
  if (typeof value !== 'object' || value === null || depth > 2) return value
  if (value instanceof Error || 'toJSON' in value) return value
  if (Array.isArray(value)) return value.map((item) => withoutSecrets(item, depth + 1))
  const members = Object.entries(value).map(([name, member]) => [
    name,
    secretNames.has(name) ? '[redacted]' : withoutSecrets(member, depth + 1),
  ])
  return Object.fromEntries(members)
}

/** Writes synchronously: handing each line to another thread, as pino does by default, takes longer than writing it. */
function standardOutput(): DestinationStream {
  return pino.destination({ sync: true })
}

/** Only these members: the `detail` of a database error quotes values. */
function describeError({ name, message, stack, ...more }: Error & { code?: string; cause?: unknown }) {
  return { type: name, code: more.code, message: fitForLog(message), stack: fitForLog(stack ?? '') }
}

const longest = 4_000

/**
 * Removes secrets. Long text is truncated first, at the last complete word, because part of a secret would not be
 * recognized as one.
 */
export function fitForLog(text: string): string {
  if (text.length <= longest) return maskSecrets(text)
  let end = longest
  while (end > 0 && /[\w.-]/.test(text.charAt(end - 1))) end -= 1
  return `${maskSecrets(text.slice(0, end))}… (${text.length} characters)`
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Requested too often for a line per request, unless LOG_LEVEL is debug or trace. */
    quiet?: boolean
  }
}

/** Whether every single request gets a log line. */
export function isVerbose({ level }: { level?: string }): boolean {
  return level === 'debug' || level === 'trace'
}

/** nginx's status for a client that disconnected before the response; it is only logged. */
export const clientLeft = 499

/** The path of the request as it is declared, with the names of its parameters. Undefined if there is no such path. */
export function routeOf({ otherMethodAt, routeOptions }: FastifyRequest): string | undefined {
  return otherMethodAt ?? routeOptions.url
}

/** Runs once per request, when it was answered or its client disconnected; Fastify's onResponse misses the latter. */
export function atEnd(
  app: FastifyInstance,
  run: (request: FastifyRequest, reply: FastifyReply, status: number) => void,
): void {
  app.addHook('onRequest', (request, reply, done) => {
    const { raw } = reply
    raw.once('close', () => run(request, reply, raw.headersSent ? reply.statusCode : clientLeft))
    done()
  })
}

/**
 * One line per request. It has the route and its parameters instead of the URL, which may contain tokens by mistake.
 */
export function logRequests(app: FastifyInstance): void {
  const quietToo = isVerbose(app.log)
  atEnd(app, (request, reply, status) => {
    const { routeOptions, log } = request
    if (routeOptions.config.quiet && !quietToo) return
    const { method, params, ip, caller } = request
    log.info(
      {
        reqId: request.id,
        method,
        route: routeOf(request) ?? null,
        params: fitForLog(JSON.stringify(params ?? {})),
        status,
        ms: Math.round(reply.elapsedTime * 100) / 100,
        principal: caller?.actor.id,
        ip: plainAddress(ip),
        ...(!reply.raw.writableFinished && { aborted: true }),
      },
      'request',
    )
  })
}

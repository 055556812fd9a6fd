import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import pino, { type DestinationStream, type Logger } from 'pino'
import { plainAddress } from '../addresses.ts'
import { maskSecrets } from '../tokens/secret.ts'

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** JSON lines. */
export function createLogger(level: LogLevel, destination: DestinationStream = standardOutput()): Logger {
  const serializers = { err: describeError }
  const log = (line: object) => withoutSecrets(line) as Record<string, unknown>
  return pino({ level, formatters: { log }, serializers }, destination)
}

const secretNames = new Set(['authorization', 'token', 'secret', 'password', 'connectionString'])

/**
 * Headers and bodies are never logged; this stands against later code that would do so. pino's own `redact` with
 * wildcards takes a multiple of this, and of all else that a line takes.
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

/** To hand each line to another thread, as pino does by itself, takes longer than to write it. */
function standardOutput(): DestinationStream {
  return pino.destination({ sync: true })
}

/** Only these members: a database error's `detail` quotes values. */
function describeError({ name, message, stack, ...more }: Error & { code?: string; cause?: unknown }) {
  return { type: name, code: more.code, message: fitForLog(message), stack: fitForLog(stack ?? '') }
}

const longest = 4_000

/**
 * Without secrets. What is too long is cut before it is searched for them, and before the last word that is not there as a
 * whole: a part of a secret does not look like one.
 */
export function fitForLog(text: string): string {
  if (text.length <= longest) return maskSecrets(text)
  let end = longest
  while (end > 0 && /[\w.-]/.test(text.charAt(end - 1))) end -= 1
  return `${maskSecrets(text.slice(0, end))}… (${text.length} characters)`
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

/** nginx's status of a request whose client left before there was an answer; it is sent to nobody. */
export const clientLeft = 499

/** Runs once for each request: when it was answered, or its client left, of which Fastify's onResponse is not told. */
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

/** One line a request: the route and its parameters rather than the URL, where people put tokens by mistake. */
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
        route: routeOptions.url ?? null,
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

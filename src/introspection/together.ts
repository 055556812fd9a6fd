import type { IncomingMessage, ServerResponse } from 'node:http'
import { holds } from '../access/caller.ts'
import type { Deps } from '../deps.ts'
import type { InProgress } from '../http/overload.ts'
import { type Presented, presentedInAuthorization } from '../http/presented.ts'
import type { Secret } from '../tokens/secret.ts'
import { type Credential, isGoodFrom } from './credential.ts'
import { decide } from './introspect.ts'
import { createAnswers } from './schema.ts'

/** A request to `/introspect` that has come in whole. */
export type Asked = {
  request: IncomingMessage
  response: ServerResponse
  body: Buffer | undefined
  startedAt: number
  authorization: string
  /** The token that it asks about. */
  secret: Secret
}

export type AnswerOptions = Pick<Deps, 'credentials' | 'usage' | 'now' | 'issuer'> & {
  inProgress: InProgress
  isClosing(): boolean
  addressOf(request: IncomingMessage): string | null
  /** Told of every answer, and when its request came. */
  answered(active: boolean, startedAt: number): void
  /** For what cannot be answered here, and why not, if that is certain. */
  leave(asked: Asked, error?: Error): void
}

/** Who asks, as far as it is known. */
type Caller = { authorization: string; presented: Presented; principal: Credential | undefined }

type Answer = { asked: Asked; active: boolean; text: string }

/**
 * Answers at the end of a turn of the event loop whatever was asked in it. Answers that are written one after the other wake
 * who waits for them once, where a write each time wakes them each time, which is most of what a write costs. A caller that asks
 * again and again is identified once, and what is not in memory is looked up with one promise for all.
 */
export function answerTogether(options: AnswerOptions): (asked: Asked) => void {
  const { credentials, usage, now, issuer, inProgress, isClosing, addressOf, answered, leave } = options
  const answerOf = createAnswers(issuer)
  let turn: Asked[] = []

  function answerTurn(): void {
    const asked = turn
    turn = []
    const at = now()
    const answers: Answer[] = []
    const missing: [Asked, Caller][] = []
    let caller: Caller | undefined
    for (const one of asked) {
      if (caller?.authorization !== one.authorization) caller = recallCaller(one.authorization, at)
      const found = caller?.principal && credentials.recall(one.secret, at)
      if (caller && found) settle(one, caller, found, at, answers)
      else if (caller && inProgress.enter()) missing.push([one, caller])
      else leave(one)
    }
    send(answers)
    if (missing.length > 0) void lookUp(missing, at)
  }

  /** Undefined where the scheme is not understood. */
  function recallCaller(authorization: string, at: Date): Caller | undefined {
    const presented = presentedInAuthorization(authorization, 'client')
    return presented && { authorization, presented, principal: credentials.recall(presented.secret, at) }
  }

  async function lookUp(missing: [Asked, Caller][], at: Date): Promise<void> {
    const callers = [...new Set(missing.map(([, caller]) => caller))]
    const secrets = [
      ...callers.map(({ presented }) => presented.secret),
      ...missing.map(([{ secret }]) => secret),
    ]
    let found: (Credential | undefined)[]
    try {
      found = await credentials.verifyAll(secrets, at).finally(() => missing.forEach(inProgress.leave))
    } catch (error) {
      for (const [asked] of missing) leave(asked, error as Error)
      return
    }
    for (const [index, caller] of callers.entries()) caller.principal = found[index]
    const answers: Answer[] = []
    for (const [index, [asked, caller]] of missing.entries()) {
      settle(asked, caller, found[callers.length + index], at, answers)
    }
    send(answers)
  }

  function settle(
    asked: Asked,
    { presented: { clientId }, principal }: Caller,
    found: Credential | undefined,
    at: Date,
    answers: Answer[],
  ): void {
    const ip = addressOf(asked.request)
    const isKnown = principal && (clientId === undefined || clientId === principal.tokenId)
    if (!isKnown || !isGoodFrom(principal, ip) || !holds(principal, 'tokens:introspect')) {
      leave(asked)
      return
    }
    usage.note(principal, at, ip)
    const credential = decide(usage, principal, found, at, null)
    answers.push({ asked, active: credential !== undefined, text: answerOf(credential) })
  }

  function send(answers: Answer[]): void {
    const farewell = isClosing() ? ['connection', 'close'] : []
    for (const { asked, active, text } of answers) {
      asked.response.writeHead(200, [...headers, String(text.length), ...farewell])
      asked.response.end(text, 'latin1')
      answered(active, asked.startedAt)
    }
  }

  return (asked) => {
    if (turn.push(asked) === 1) setImmediate(answerTurn)
  }
}

const headers = [
  ...['content-type', 'application/json; charset=utf-8'],
  ...['cache-control', 'no-store'],
  ...['x-content-type-options', 'nosniff'],
  ...['vary', 'Accept'],
  'content-length',
]

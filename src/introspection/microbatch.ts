import { holds } from '../access/caller.ts'
import { holderOf, type Slot, type Slots } from '../access/concurrency.ts'
import { type Credential, isGoodFrom } from '../access/credential.ts'
import type { CredentialVerifier, Recalled } from '../credentials/credential-verifier.ts'
import type { UsageRecorder } from '../credentials/usage-recorder.ts'
import { callerNetwork } from '../shared/addresses.ts'
import type { Secret } from '../shared/secret.ts'
import { type Context, tracing } from '../shared/tracing.ts'
import { decide } from './introspect.ts'

/** The caller's credential as it appears in the request, and the token it asks about. */
export type Question = { authorization: string; secret: Secret }

export type Decision<Asked> = { asked: Asked; credential: Credential | undefined }

type Presented = { secret: Secret; clientId?: string }

export type MicrobatchOptions<Asked> = {
  credentials: CredentialVerifier
  usage: UsageRecorder
  now(): Date
  slots: Slots
  /** Undefined if the scheme is not supported. */
  presentedIn(authorization: string): Presented | undefined
  addressOf(asked: Asked): string | null
  /** In which it is traced, if it is. */
  contextOf(asked: Asked): Context | undefined
  answer(decisions: Decision<Asked>[]): void
  /** Called for requests that cannot be decided here, with the error if they are certain to fail. */
  leave(asked: Asked, error?: Error): void
}

/** Small enough that PostgreSQL works on one group while another is being read or answered here. */
const groupSize = 16

type Caller = { authorization: string; presented: Presented; principal: Recalled }

/** Needs a database lookup for the caller, the token, or both. */
type Missing<Asked> = { asked: Asked; caller: Caller; recalled: Recalled; slot: Slot }

/**
 * Decides all questions of one turn of the event loop together at its end, or as soon as they fill a group, and passes
 * on the decisions together. A repeated caller is identified once, and everything not cached is looked up with a single
 * promise.
 */
export function microbatch<Asked extends Question>(
  options: MicrobatchOptions<Asked>,
): (asked: Asked) => void {
  const { credentials, usage, now, slots, presentedIn, addressOf, contextOf, answer, leave } = options
  let turn: Asked[] = []

  function decideAll(): void {
    const questions = turn
    turn = []
    const at = now()
    const decisions: Decision<Asked>[] = []
    const missing: Missing<Asked>[] = []
    let caller: Caller | undefined
    for (const asked of questions) {
      if (caller?.authorization !== asked.authorization) caller = recallCaller(asked.authorization, at)
      if (!caller || caller.principal === null) {
        leave(asked)
        continue
      }
      const recalled = credentials.recall(asked.secret, at)
      if (caller.principal && recalled !== undefined) {
        settle(asked, caller, recalled, at, decisions)
        continue
      }
      const { principal } = caller
      const slot = slots.take(
        principal ? holderOf(principal) : { caller: callerNetwork(addressOf(asked) ?? undefined) },
      )
      if (slot) missing.push({ asked, caller, recalled, slot })
      else leave(asked)
    }
    answer(decisions)
    if (missing.length > 0) void lookUp(missing, at)
  }

  function recallCaller(authorization: string, at: Date): Caller | undefined {
    const presented = presentedIn(authorization)
    return presented && { authorization, presented, principal: credentials.recall(presented.secret, at) }
  }

  async function lookUp(missing: Missing<Asked>[], at: Date): Promise<void> {
    const unidentified = missing.filter(({ caller }) => caller.principal === undefined)
    const callers = [...new Set(unidentified.map(({ caller }) => caller))]
    const tokens = missing.filter(({ recalled }) => recalled === undefined)
    const secrets = [
      ...callers.map(({ presented }) => presented.secret),
      ...tokens.map(({ asked }) => asked.secret),
    ]
    // Requests with the address of the client take the ordinary path.
    const from = callers.map((one) => addressOfCaller(missing, one))
    const look = () => credentials.lookUp(secrets, at, from)
    const contexts = () => missing.flatMap(({ asked }) => contextOf(asked) ?? [])
    try {
      const found = await (tracing ? tracing.onBehalfOf(contexts(), look) : look()).finally(() => {
        for (const { slot } of missing) slot.free()
      })
      for (const [index, caller] of callers.entries()) caller.principal = found[index] ?? null
      for (const [index, token] of tokens.entries()) token.recalled = found[callers.length + index] ?? null
    } catch (error) {
      for (const { asked } of missing) leave(asked, error as Error)
      return
    }
    const decisions: Decision<Asked>[] = []
    for (const { asked, caller, recalled } of missing) settle(asked, caller, recalled, at, decisions)
    answer(decisions)
  }

  function addressOfCaller(missing: Missing<Asked>[], one: Caller): string | null {
    const first = missing.find(({ caller }) => caller === one)
    return first ? addressOf(first.asked) : null
  }

  function settle(
    asked: Asked,
    { presented: { clientId }, principal }: Caller,
    found: Recalled,
    at: Date,
    decisions: Decision<Asked>[],
  ): void {
    const ip = addressOf(asked)
    const isKnown = principal && (clientId === undefined || clientId === principal.tokenId)
    if (isKnown && isGoodFrom(principal, ip) && holds(principal, 'tokens:introspect')) {
      usage.note(principal, at, ip)
      decisions.push({ asked, credential: decide(usage, principal, found, at, null) })
    } else leave(asked)
  }

  return (asked) => {
    const size = turn.push(asked)
    if (size === 1) setImmediate(decideAll)
    if (size === groupSize) decideAll()
  }
}

import { setImmediate } from 'node:timers'
import { VerificationError } from './errors.ts'
import type { Answer } from './introspection.ts'

export type AskOptions = {
  url: string
  authorization: string
  timeoutMs: number
  fetch: typeof fetch
  /** Aborts pending requests. */
  signal: AbortSignal
}

/** The service's limits per request: a thousand tokens, and 2 MiB including the JSON around them. */
const maxTokens = 1_000
const maxCharacters = 1_900_000

type Question = { token: string } & PromiseWithResolvers<Answer>

/** Introspects tokens in batches: all tokens of one turn of the event loop go into one request, each once. */
export function createAsk({ url, authorization, timeoutMs, fetch, signal }: AskOptions) {
  let waiting = new Map<string, Question>()

  function sendAll(): void {
    const questions = [...waiting.values()]
    waiting = new Map()
    for (let start = 0; start < questions.length; ) {
      const end = endOfBatch(questions, start)
      void send(questions.slice(start, end))
      start = end
    }
  }

  async function send(questions: Question[]): Promise<void> {
    try {
      const results = await request(questions.map(({ token }) => token))
      questions.forEach(({ resolve, reject }, i) => {
        const answer = results[i]
        if (isAnswer(answer)) resolve(Object.freeze(answer))
        else
          reject(new VerificationError('unavailable', "Counterfoil's response does not include the token."))
      })
    } catch (error) {
      for (const { reject } of questions) reject(error)
    }
  }

  async function request(tokens: string[]): Promise<unknown[]> {
    const response = await fetch(`${url}/introspect/batch`, {
      method: 'POST',
      headers: { authorization, 'content-type': 'application/json' },
      body: JSON.stringify({ tokens }),
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    }).catch(unreachable)
    if (response.status !== 200) {
      await response.body?.cancel()
      throw new VerificationError('unavailable', `Counterfoil answered ${response.status}.`)
    }
    const body: unknown = await response.json().catch(unreachable)
    if (typeof body === 'object' && body && 'results' in body && Array.isArray(body.results))
      return body.results
    throw new VerificationError('unavailable', 'The response is not from Counterfoil.')
  }

  return (token: string): Promise<Answer> => {
    const question = waiting.get(token) ?? { token, ...Promise.withResolvers<Answer>() }
    if (waiting.size === 0) setImmediate(sendAll)
    waiting.set(token, question)
    return question.promise
  }
}

function endOfBatch(questions: Question[], start: number): number {
  let end = start
  for (let characters = 0; end < questions.length && end - start < maxTokens; end++) {
    // JSON may need six characters for one of these; a token's own characters need one each.
    characters += JSON.stringify(questions[end]?.token).length + 1
    if (characters > maxCharacters && end > start) break
  }
  return end
}

function isAnswer(value: unknown): value is Answer {
  return typeof value === 'object' && value !== null && 'active' in value && typeof value.active === 'boolean'
}

function unreachable(cause: unknown): never {
  throw new VerificationError('unavailable', 'Counterfoil could not be reached in time.', { cause })
}

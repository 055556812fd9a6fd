import { join } from 'node:path'
import { firstMessage, startNode } from '../cleanup.ts'
import { cores } from '../cores.ts'
import type { Population } from '../population.ts'

/** How to introspect a token on a target: the parts of a form-encoded POST around the token. */
export type Ask = {
  path: string
  beforeToken: string
  afterToken: string
  authorization?: string
  /** The target responds that every token is active. */
  fixed: boolean
}

export type Load = {
  port: number
  ask: Ask
  population: Population
  connections: number
  /** The maximum; a load that introspects each token once ends earlier. */
  seconds: number
  firstTokens?: number
  eachOnce?: boolean
}

/** The result. Any `wrong` response invalidates the run. */
export type Tally = { seconds: number; answers: number; active: number; wrong: number; example?: string }

export type Generator = { run(load: Load): Promise<Tally>; stop(): void }

export function startGenerator(): Generator {
  const child = startNode(cores.generator, [join(import.meta.dirname, 'generator.ts')], {}, { ipc: true })
  return {
    async run(load) {
      child.send(load)
      const tally = await firstMessage<Tally>(child)
      if (tally.wrong > 0) throw new WrongAnswers(load, tally)
      return tally
    },
    stop() {
      if (child.connected) child.send('stop')
    },
  }
}

export class WrongAnswers extends Error {
  constructor({ ask, port }: Load, { wrong, answers, example }: Tally) {
    super(`${wrong} of ${answers} answers of ${ask.path} on port ${port} were wrong, such as: ${example}`)
  }
}

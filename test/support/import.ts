import { createHash } from 'node:crypto'
import { recordSecret } from './records.ts'
import type { Ask, World } from './world.ts'

/** The hash of a secret, which the suite then looks for wherever secrets must not be. */
export function sha256(secret: string, encoding: 'hex' | 'base64' | 'base64url' = 'hex'): string {
  recordSecret(secret)
  return createHash('sha256').update(secret).digest(encoding)
}

export const ndjson = (lines: unknown[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join('')

/** The lines of a response: the results, and the summary. */
export function readResults(text: string): { results: any[]; summary: any } {
  const lines = text.split('\n').filter((line) => line !== '')
  const parsed = lines.map((line) => JSON.parse(line))
  const last = parsed.at(-1)
  return last?.summary
    ? { results: parsed.slice(0, -1), summary: last.summary }
    : { results: parsed, summary: undefined }
}

type Options = Ask & { organization?: string; dryRun?: boolean }

/** Imports lines, given as text or as objects. */
export async function importInto(
  world: World,
  lines: string | unknown[],
  { organization = 'default', dryRun = false, headers = {}, ...ask }: Options = {},
) {
  const answer = await world.ask(
    'POST',
    `/v1/organizations/${organization}/tokens/import${dryRun ? '?dry_run=true' : ''}`,
    {
      ...ask,
      headers: { 'content-type': 'application/x-ndjson', ...headers },
      body: typeof lines === 'string' ? lines : ndjson(lines),
    },
  )
  return {
    ...answer,
    ...(answer.status === 200 ? readResults(answer.text) : { results: [], summary: undefined }),
  }
}

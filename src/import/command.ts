import { Readable } from 'node:stream'
import {
  ApplyError,
  rejectProblem,
  type Service,
  ServiceUnreachableError,
  send,
  unreachable,
} from '../apply/api.ts'
import { inBatchesOf, type Line, readLines } from '../shared/lines.ts'
import { longestLine, mostLines } from '../tokens/import/schema.ts'

type Options = {
  service: Service
  organization: string
  dryRun: boolean
  json: boolean
  print(text: string): Promise<void>
  /** Waits before another attempt. */
  pause(ms: number): Promise<unknown>
}

type Result = { line: number; status: 'created' | 'exists' | 'invalid'; detail?: string }

type Summary = { complete: boolean; code?: string; detail?: string }

type Counts = Record<Result['status'], number>

/** The lines of a request are kept in memory until they are answered, to be sent again after a broken connection. */
const mostInRequest = { lines: mostLines, bytes: 64 * 1024 * 1024 }

/** Before each further attempt, until the service answers another line. */
const pausesMs = [1_000, 2_000, 4_000, 8_000, 16_000]

const jsonLines = 'application/x-ndjson'

/** Sent in place of a line that is too long and was not kept, so that the service rejects it. */
const tooLong = Buffer.alloc(longestLine + 1, 'x')

/** Imports the lines of `input`, which it reads no faster than the service responds; prints the results. */
export async function importFile(input: AsyncIterable<Buffer>, options: Options): Promise<Counts> {
  const { dryRun, json, print } = options
  const counts = { created: 0, exists: 0, invalid: 0 }
  let lines = 0
  let complete = false

  async function record(result: Result): Promise<void> {
    lines += 1
    counts[result.status] += 1
    if (json) await print(`${JSON.stringify(result)}\n`)
    else if (result.status === 'invalid') await print(`Line ${result.line}: ${result.detail}\n`)
  }

  try {
    for await (const batch of inBatchesOf(readLines(input, longestLine), mostInRequest))
      await importLines(batch, options, record, () => lines > 0)
    complete = true
  } finally {
    const { created, exists, invalid } = counts
    const inText =
      `${complete ? '' : 'The import is incomplete. '}Created: ${created}, existed before: ${exists}, ` +
      `invalid: ${invalid}.${dryRun ? ' Nothing was stored: this was a dry run.' : ''}\n`
    const summary = { lines, ...counts, dry_run: dryRun, complete }
    if (complete || lines > 0) await print(json ? `${JSON.stringify({ summary })}\n` : inText)
  }
  return counts
}

/** Resumes after a broken connection, but only from a service that has answered before: otherwise its URL may be wrong. */
async function importLines(
  lines: Line[],
  options: Options,
  record: (result: Result) => Promise<void>,
  hasAnswered: () => boolean,
): Promise<void> {
  let answered = 0
  let pauses = pausesMs.values()
  for (;;) {
    try {
      for await (const result of request(lines.slice(answered), options)) {
        // The service counts the lines of its request, which has no blank ones.
        await record({ ...result, line: lines[answered]?.number ?? result.line })
        answered += 1
        pauses = pausesMs.values()
      }
      return
    } catch (error) {
      const ms = pauses.next().value
      if (!(error instanceof ServiceUnreachableError) || !hasAnswered() || ms === undefined) throw error
      await options.pause(ms)
    }
  }
}

/** The results of a request, while it is being sent. */
async function* request(lines: Line[], { service, organization, dryRun }: Options): AsyncGenerator<Result> {
  const path = `/v1/organizations/${encodeURIComponent(organization)}/tokens/import${dryRun ? '?dry_run=true' : ''}`
  const response = await send(service, path, {
    method: 'POST',
    headers: { 'content-type': jsonLines },
    body: bodyOf(lines),
    duplex: 'half',
  })
  await rejectProblem(response, 'POST', path)
  if (!response.headers.get('content-type')?.startsWith(jsonLines))
    throw new ApplyError(`${service.url} does not answer like Counterfoil: check the URL.`)
  for await (const answer of readLines(chunksOf(service, response), Number.POSITIVE_INFINITY)) {
    for (const { bytes } of answer) {
      const parsed = JSON.parse(String(bytes)) as Result | { summary: Summary }
      if (!('summary' in parsed)) yield parsed
      else if (parsed.summary.complete) return
      else throw incomplete(service, parsed.summary)
    }
  }
  throw unreachable(service.url, new Error('its response ended early'))
}

function incomplete({ url }: Service, { code, detail }: Summary): Error {
  return code === 'unavailable'
    ? new ServiceUnreachableError(`The service at ${url} is not ready: ${detail}`)
    : new ApplyError(`The service at ${url} stopped the import: ${detail}`)
}

/** Several lines at a time, since each chunk is a write to the network. */
async function* bodyOf(lines: Line[]): AsyncGenerator<Buffer> {
  const lineFeed = Buffer.from('\n')
  for (let at = 0; at < lines.length; at += 20)
    yield Buffer.concat(lines.slice(at, at + 20).flatMap(({ bytes }) => [bytes ?? tooLong, lineFeed]))
}

async function* chunksOf({ url }: Service, { body }: Response): AsyncGenerator<Buffer> {
  try {
    if (body) yield* Readable.fromWeb(body)
  } catch (error) {
    throw unreachable(url, error as Error)
  }
}

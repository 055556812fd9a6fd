import { type FileHandle, open } from 'node:fs/promises'
import { rejectProblem, type Service, ServiceUnreachableError, send } from '../apply/api.ts'

/**
 * A line of the export: an event as in `GET /v1/revocations`. With the reason `started` or `gap` it is not an event:
 * the export begins there, or events before it are missing.
 */
export type Line = {
  /** The cursor after it. */
  id: string
  at: string
  reason: string
  organization?: string | null
  type?: string | null
  owner?: string | null
  token_id?: string | null
  hash?: string | null
}

type Options = {
  service: Service
  /** Whether to wait for more events at the end of the feed. */
  follow: boolean
  ending: AbortSignal
  /** Waits until the next request to the service. */
  pause(): Promise<unknown>
  /** Reports that the service cannot be reached, once each time. */
  warn(message: string): void
}

/** Appends the events of the revocation feed to a file, from where the file ends. */
export async function exportFeed(path: string, options: Options): Promise<void> {
  const { service, follow, ending, pause, warn } = options
  // Not in append mode, in which Linux ignores positions, and a torn line is overwritten.
  const file = await open(path, 'r+').catch(() => open(path, 'wx+', 0o600))
  try {
    let { end, cursor } = await readEnd(file)
    let isReported = false
    const append = async (lines: Line[]) => {
      if (lines.length === 0) return
      const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('')
      const { bytesWritten } = await file.write(text, end)
      await file.datasync()
      end += bytesWritten
    }
    while (!ending.aborted) {
      try {
        const page = cursor === undefined ? undefined : await readPage(service, cursor)
        if (page) {
          await append(page.items)
          cursor = page.cursor
        } else {
          const { cursor: id } = (await readPage(service)) as Page
          await append([
            { id, at: new Date().toISOString(), reason: cursor === undefined ? 'started' : 'gap' },
          ])
          cursor = id
        }
        isReported = false
        if (page?.more) continue
      } catch (error) {
        if (!follow || !(error instanceof ServiceUnreachableError)) throw error
        if (!isReported) warn(error.message)
        isReported = true
      }
      if (!follow) return
      await pause()
    }
  } finally {
    await file.close()
  }
}

type Page = { items: Line[]; cursor: string; more: boolean }

/** Undefined if events after the cursor are no longer available. */
async function readPage(service: Service, since?: string): Promise<Page | undefined> {
  const path = `/v1/revocations?limit=1000${since === undefined ? '' : `&since=${since}`}`
  const response = await send(service, path, { method: 'GET', headers: {} })
  if (response.status === 410) return undefined
  await rejectProblem(response, 'GET', '/v1/revocations')
  return (await response.json()) as Page
}

/** Lines are much shorter than this. */
const tailBytes = 64 * 1024

/** Where the last complete line ends, and its cursor. What follows it was cut off by a crash. */
async function readEnd(file: FileHandle): Promise<{ end: number; cursor: string | undefined }> {
  const { size } = await file.stat()
  const from = Math.max(0, size - tailBytes)
  const { buffer, bytesRead } = await file.read(Buffer.alloc(tailBytes), 0, tailBytes, from)
  const tail = buffer.subarray(0, bytesRead)
  const end = from + tail.lastIndexOf('\n') + 1
  if (end < size) await file.truncate(end)
  const last = tail
    .toString('utf8', 0, end - from)
    .trimEnd()
    .split('\n')
    .at(-1)
  return { end, cursor: last ? (JSON.parse(last) as Line).id : undefined }
}

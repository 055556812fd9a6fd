import type { LoggedEvent } from '../audit/logged-event.ts'
import { type Checkpoint, NoteError, openCheckpoint, splitNotes, type VerifierKey } from './note.ts'

/** What was done to the log, or to what is beside it. */
export type Finding = {
  problem:
    | 'changed'
    | 'dropped'
    | 'inserted'
    | 'reordered'
    | 'truncated'
    | 'forked'
    | 'rolled_back'
    | 'late'
    | 'damaged'
  /** The position of the event in the log. */
  index?: number
  event_id?: string
  detail: string
}

export type Report = (finding: Finding) => void

/** What was kept elsewhere: checkpoints, and the key if it is not to be the one that comes with the log. */
export type Kept = { file: string; key?: VerifierKey | undefined }

/** The checkpoints in a file that was kept elsewhere, the smallest first. */
export function openKept(file: string, key: VerifierKey | undefined, report: Report): Checkpoint[] {
  const notes = splitNotes(file)
  if (notes.length === 0) throw new NoteError('The file with checkpoints contains none.')
  const checkpoints = notes.flatMap((note) => {
    try {
      if (key) return openCheckpoint(note, key)
      report({ problem: 'forked', detail: 'There is a checkpoint, but the log has no key that signs.' })
    } catch (error) {
      if (!(error instanceof NoteError)) throw error
      report({ problem: 'forked', detail: error.message })
    }
    return []
  })
  return checkpoints.sort((one, other) => one.size - other.size)
}

/** A leaf whose hash is not that of its event. */
export type Mismatch = { index: number; event: LoggedEvent; accepts(event: LoggedEvent): boolean }

/** Beyond this, comparing each with each would take too long. */
const mostCompared = 100

/** Tells events that only changed places from those that were changed. */
export function reportMismatches(mismatches: Mismatch[], report: Report): void {
  for (const { index, event } of mismatches) {
    const place =
      mismatches.length <= mostCompared ? mismatches.find((other) => other.accepts(event)) : undefined
    const what = { index, event_id: event.id }
    if (place) report({ problem: 'reordered', ...what, detail: `Its index is ${place.index}.` })
    else report({ problem: 'changed', ...what, detail: 'It is not what was appended to the log.' })
  }
}

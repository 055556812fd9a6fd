import { ConfigError } from '../shared/config-files.ts'
import { type Line, readLines } from '../shared/lines.ts'
import { verifyConsistency, verifyInclusion } from '../shared/merkle-tree.ts'
import { hashEvent } from './entry.ts'
import { type Kept, type Mismatch, openKept, type Report, reportMismatches } from './findings.ts'
import type { ProofHead, ProvenEvent } from './log.ts'
import { type Checkpoint, openCheckpoint, parseVerifierKey } from './note.ts'

/** The file is not an export with proofs, or not one that the checkpoint can be compared with. */
export class ExportError extends ConfigError {}

/** Verifies an export with proofs, and returns how many events it has. */
export async function verifyExport(
  chunks: AsyncIterable<Buffer>,
  { file, key: givenKey }: Kept,
  report: Report,
): Promise<number> {
  const mismatches: Mismatch[] = []
  const numbers = new Set<number>()
  let verify: ((proven: ProvenEvent) => Mismatch | undefined) | undefined
  for await (const line of linesOf(chunks)) {
    if (!verify) {
      const head = parse<ProofHead>(line, isHead)
      const key = givenKey ?? parseVerifierKey(head.key)
      const checkpoint = openCheckpoint(head.checkpoint, key)
      compareKept(openKept(file, key, report).at(-1), { head, checkpoint }, report)
      verify = verification(head, checkpoint)
      continue
    }
    const proven = parse<ProvenEvent>(line, isProvenEvent)
    const { index, organization_index: number, event } = proven
    if (numbers.has(number))
      report({ problem: 'inserted', index, event_id: event.id, detail: `Number ${number} is there twice.` })
    numbers.add(number)
    const mismatch = verify(proven)
    if (mismatch) mismatches.push(mismatch)
  }
  if (!verify) throw new ExportError('The export is empty.')
  reportMismatches(mismatches, report)
  reportMissing(numbers, report)
  return numbers.size
}

function verification(head: ProofHead, tree: Checkpoint) {
  return ({ index, event, ...proven }: ProvenEvent): Mismatch | undefined => {
    const placement = {
      organizationId: head.organization_id,
      organizationIndex: proven.organization_index,
      sequencedAt: new Date(proven.sequenced_at),
      salt: Buffer.from(proven.salt, 'base64'),
    }
    const proof = proven.proof.map((hash) => Buffer.from(hash, 'base64'))
    const accepts = (other: typeof event) =>
      verifyInclusion({ index, hash: hashEvent(other, placement) }, proof, tree)
    return accepts(event) ? undefined : { index, event, accepts }
  }
}

function compareKept(
  kept: Checkpoint | undefined,
  { head, checkpoint }: { head: ProofHead; checkpoint: Checkpoint },
  report: Report,
): void {
  if (!kept) return
  const { size, proof } = head.consistency
  if (kept.size > checkpoint.size)
    report({
      problem: 'rolled_back',
      index: checkpoint.size,
      detail: `The checkpoint has ${kept.size} events, the log of the export ${checkpoint.size}.`,
    })
  else if (kept.size < checkpoint.size && kept.size !== size)
    throw new ExportError(`The checkpoint has ${kept.size} events: export the log with since=${kept.size}.`)
  else if (
    !verifyConsistency(
      kept,
      checkpoint,
      kept.size === checkpoint.size ? [] : proof.map((hash) => Buffer.from(hash, 'base64')),
    )
  )
    report({
      problem: 'forked',
      index: 0,
      detail: `The log of the export is not the one of the checkpoint: its first ${kept.size} events are others.`,
    })
}

/** Each run of numbers that lacks its events. */
function reportMissing(numbers: Set<number>, report: Report): void {
  let expected = 0
  for (const number of [...numbers].sort((one, other) => one - other)) {
    if (number > expected) {
      const range = number === expected + 1 ? `number ${expected}` : `numbers ${expected} to ${number - 1}`
      report({ problem: 'dropped', detail: `The export lacks the organization's ${range}.` })
    }
    expected = number + 1
  }
}

/** Only at line feeds: the strings of JSON may contain other line separators of Unicode. */
async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Line> {
  for await (const lines of readLines(chunks, Number.POSITIVE_INFINITY)) yield* lines
}

function parse<Value>({ number, bytes }: Line, isValid: (value: Partial<Value>) => boolean): Value {
  let value: unknown
  try {
    value = JSON.parse(String(bytes))
  } catch {}
  if (typeof value === 'object' && value !== null && isValid(value)) return value as Value
  throw new ExportError(
    `Line ${number} is not one of an export with proofs (GET …/audit-events/proofs): is the file complete?`,
  )
}

function isHead({ key, checkpoint, organization_id, consistency }: Partial<ProofHead>): boolean {
  return (
    [key, checkpoint, organization_id].every((member) => typeof member === 'string') &&
    Number.isSafeInteger(consistency?.size) &&
    Array.isArray(consistency?.proof)
  )
}

function isProvenEvent(line: Partial<ProvenEvent>): boolean {
  const { index, organization_index, sequenced_at = '', salt, proof, event } = line
  return (
    [index, organization_index].every(Number.isSafeInteger) &&
    !Number.isNaN(Date.parse(sequenced_at)) &&
    typeof salt === 'string' &&
    Array.isArray(proof) &&
    typeof event?.id === 'string'
  )
}

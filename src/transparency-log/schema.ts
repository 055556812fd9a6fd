import { type Static, Type } from 'typebox'
import type { LoggedEvent } from '../audit/logged-event.ts'
import { DateTime, Id, ref } from '../http/schemas.ts'
import { tileWidth } from '../shared/merkle-tree.ts'
import type { Log } from './log.ts'

const Hash = Type.String({
  description: 'A hash in base64.',
  examples: ['9o9E9yUZ0u1TXNpDqbb8vp3L1Bk3FyNFoO4mUOOZBXA='],
})
const Checkpoint = Type.String({
  description: 'A signed checkpoint (C2SP tlog-checkpoint).',
  examples: [
    'tokens.example.com/v1/transparency-log\n4711\n9o9E9yUZ0u1TXNpDqbb8vp3L1Bk3FyNFoO4mUOOZBXA=\n\n— tokens.example.com/v1/transparency-log 2ZvQ…\n',
  ],
})
const Key = Type.String({
  description: 'The key that verifies checkpoints, as `<name>+<id>+<key>` (C2SP signed-note).',
  examples: ['tokens.example.com/v1/transparency-log+d99bd0c1+ATtqJ1SiN1mO5tXTM1HuWGXVBzBuQC2AYRBUoFIbPDJl'],
})

export const TransparencyLog = Type.Object(
  {
    key: Key,
    size: Type.Integer({ description: 'How many events the checkpoint has.', examples: [4711] }),
    checkpoint: Checkpoint,
    signed_at: DateTime({ description: 'When the checkpoint was signed.' }),
  },
  { $id: 'TransparencyLog', description: 'The transparency log as of its last checkpoint.' },
)

export const ProofHead = Type.Object(
  {
    organization_id: Id,
    key: Key,
    checkpoint: Checkpoint,
    consistency: Type.Object(
      {
        size: Type.Integer({ examples: [4000] }),
        proof: Type.Array(Hash),
      },
      {
        description:
          'That the tree of this size is the beginning of that of the checkpoint (RFC 9162 §2.1.4).',
      },
    ),
  },
  { $id: 'ProofHead', description: 'The first line of an export with proofs.' },
)

export const ProvenEvent = Type.Object(
  {
    index: Type.Integer({ description: 'Its position in the log, from 0.', examples: [17] }),
    organization_index: Type.Integer({
      description: "How many of the organization's events are before it in the log.",
      examples: [3],
    }),
    sequenced_at: DateTime({ description: 'When it was appended to the log.' }),
    salt: Type.String({
      description: 'Part of what is hashed, in base64.',
      examples: ['q83vEjRWeJCrze8SNFZ4kA=='],
    }),
    proof: Type.Array(Hash, { description: 'That the checkpoint has it (RFC 9162 §2.1.3).' }),
    event: Type.Unsafe<LoggedEvent>({ $ref: 'AuditEvent#' }),
  },
  { $id: 'ProvenEvent', description: 'An event with the proof that it is in the log.' },
)

export const ProofLine = Type.Union([ref(ProofHead), ref(ProvenEvent)], {
  $id: 'ProofLine',
  description: 'A line of an export with proofs.',
})

export const components = [TransparencyLog, ProofHead, ProvenEvent, ProofLine]

export const ProofQuery = Type.Object(
  {
    since: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'The size of a checkpoint that you have kept.',
    }),
  },
  { additionalProperties: false },
)

export function presentLog({ key, size, checkpoint, signedAt }: Log): Static<typeof TransparencyLog> {
  return { key, size, checkpoint, signed_at: signedAt.toISOString() }
}

/** The rest of a tile's URL (C2SP tlog-tiles): `<level>/<index>`, and `.p/<width>` if it is not full. */
export function parseTile(path: string): { level: number; index: number; width: number } | undefined {
  const [, level = '', groups = '', width = ''] =
    /^(\d|[1-5]\d|6[0-3])\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/([1-9]\d{0,2}))?$/.exec(path) ?? []
  if (level === '' || groups.startsWith('x000') || Number(width) >= tileWidth) return undefined
  return {
    level: Number(level),
    index: Number(groups.replace(/x|\//g, '')),
    width: width === '' ? tileWidth : Number(width),
  }
}

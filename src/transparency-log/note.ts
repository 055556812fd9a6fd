import { createPublicKey, hash, verify } from 'node:crypto'
import type { CryptoKey } from 'jose'
import { ConfigError } from '../shared/config-files.ts'

// C2SP signed-note and tlog-checkpoint, with Ed25519.

const ed25519 = Buffer.of(1)

export type VerifierKey = { name: string; publicKey: Buffer }

export type Checkpoint = { origin: string; size: number; root: Buffer }

/** A note is not signed by the key that should have signed it, or has another form. */
export class NoteError extends ConfigError {}

/** `<name>+<key id>+<key>` */
export function formatVerifierKey(key: VerifierKey): string {
  const encoded = Buffer.concat([ed25519, key.publicKey]).toString('base64')
  return `${key.name}+${keyId(key).toString('hex')}+${encoded}`
}

export function parseVerifierKey(text: string): VerifierKey {
  const [, name = '', id = '', encoded = ''] =
    /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(text) ?? []
  const bytes = Buffer.from(encoded, 'base64')
  const key = { name, publicKey: bytes.subarray(1) }
  if (bytes.length !== 33 || bytes[0] !== 1 || keyId(key).toString('hex') !== id)
    throw new NoteError('This is not a verifier key: it looks like <name>+<8 hexadecimal digits>+<base64>.')
  return key
}

function keyId({ name, publicKey }: VerifierKey): Buffer {
  const bytes = Buffer.concat([Buffer.from(`${name}\n`), ed25519, publicKey])
  return hash('sha256', bytes, 'buffer').subarray(0, 4)
}

export async function signCheckpoint(
  { origin, size, root }: Checkpoint,
  { publicKey, privateKey }: { publicKey: Buffer; privateKey: CryptoKey },
): Promise<string> {
  const text = `${origin}\n${size}\n${root.toString('base64')}\n`
  const signature = Buffer.from(await crypto.subtle.sign('Ed25519', privateKey, Buffer.from(text)))
  const line = Buffer.concat([keyId({ name: origin, publicKey }), signature]).toString('base64')
  return `${text}\n— ${origin} ${line}\n`
}

/** The checkpoint in a note that this key has signed. */
export function openCheckpoint(note: string, key: VerifierKey): Checkpoint {
  const [, origin = '', size = '', root = ''] =
    /^([^\n]+)\n(0|[1-9]\d{0,15})\n([A-Za-z0-9+/]{43}=)\n/.exec(openNote(note, key)) ?? []
  if (origin !== key.name) throw new NoteError(`The note is no checkpoint of the log ${key.name}.`)
  return { origin, size: Number(size), root: Buffer.from(root, 'base64') }
}

/** The text of a note that this key has signed. Other signatures, such as those of witnesses, are ignored. */
export function openNote(note: string, key: VerifierKey): string {
  const end = note.lastIndexOf('\n\n')
  const text = note.slice(0, end + 1)
  if (end < 0 || !isSigned(text, note.slice(end + 2), key))
    throw new NoteError(`The checkpoint is not signed by the key ${formatVerifierKey(key)}.`)
  return text
}

function isSigned(text: string, signatures: string, key: VerifierKey): boolean {
  const publicKey = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: key.publicKey.toString('base64url') },
    format: 'jwk',
  })
  const id = keyId(key)
  return [...signatures.matchAll(/^— (\S+) (\S+)$/gm)].some(([, name, encoded = '']) => {
    const bytes = Buffer.from(encoded, 'base64')
    return (
      name === key.name &&
      bytes.subarray(0, 4).equals(id) &&
      verify(null, Buffer.from(text), publicKey, bytes.subarray(4))
    )
  })
}

/** The notes in a file that contains one or several, with or without blank lines in between. */
export function splitNotes(file: string): string[] {
  // A note is a text, a blank line, and its signatures.
  const blocks = file.split(/\n\n+/)
  const notes: string[] = []
  let text: string | undefined
  for (const block of blocks) {
    const lines = block.split('\n')
    const end = lines.findLastIndex((line) => line.startsWith('— ')) + 1
    if (text !== undefined && end > 0) notes.push(`${text}\n\n${lines.slice(0, end).join('\n')}\n`)
    text = lines.slice(end).filter(Boolean).join('\n')
  }
  return notes
}

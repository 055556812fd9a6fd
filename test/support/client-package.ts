import { execFile } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { withoutTap } from '../docs/service.ts'

const root = join(import.meta.dirname, '../..')
const modules = join(root, 'node_modules')
const tsc = join(modules, 'typescript7/bin/tsc')

/** A folder in which the client library is installed as packaged, next to this repository's dependencies. */
export async function installClient(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'counterfoil-api-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const home = join(folder, 'node_modules', 'counterfoil')
  await mkdir(home, { recursive: true })
  for (const name of await readdir(modules)) {
    if (!name.startsWith('.')) await symlink(join(modules, name), join(folder, 'node_modules', name))
  }
  await copyFile(join(root, 'package.json'), join(home, 'package.json'))
  await execute(t, folder, [tsc, '-p', join(root, 'tsconfig.client.json'), '--outDir', join(home, 'dist')])
  return folder
}

/** Type checks every file in the folder with the strictest settings. */
export async function checkTypes(t: Test, folder: string): Promise<void> {
  await execute(t, folder, [
    ...[tsc, '-p', folder, '--noEmit'],
    ...['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess'],
  ])
}

/** The output of a Node that runs with these arguments. */
export async function execute(
  t: Test,
  folder: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<string> {
  const command = withoutTap([process.execPath, ...args])
  try {
    return (await promisify(execFile)('env', command, { cwd: folder, env })).stdout
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    t.fail(stdout || stderr)
    return ''
  }
}

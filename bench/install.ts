// Installs the peers that the benchmark compares with, if they are missing or differ from the lockfile.
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'

const here = import.meta.dirname
const installed = statSync(join(here, 'node_modules', '.package-lock.json'), { throwIfNoEntry: false })
if (!installed || installed.mtimeMs < statSync(join(here, 'package-lock.json')).mtimeMs) {
  const { status } = spawnSync('npm', ['ci', '--prefix', here], {
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  })
  process.exitCode = status ?? 1
}

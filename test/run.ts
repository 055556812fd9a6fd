// Runs the tests against a real PostgreSQL: TEST_DATABASE_URL, a container (TEST_POSTGRES=container), or else the
// embedded one. Arguments are passed on to tap: `npm test -- test/tokens/*`.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { countTap } from './support/count-tap.ts'
import { openServer } from './support/postgres-server.ts'

const nothing = { code: 0, passed: 0, failed: 0, failures: [] }
const scratch = await mkdtemp(join(tmpdir(), 'counterfoil-test-'))
const server = await openServer(join(scratch, 'postgres'))
let failed = true
try {
  const env = { ...process.env, ...server.env, TEST_RECORDS: scratch }
  const suite = await tap(process.argv.slice(2), join(scratch, 'suite.tap'), env)
  // What the suite logged and stored is searched when all of it is there; a selection of tests may issue no secret.
  const searched = existsSync(join(scratch, 'secrets'))
  const after = searched ? await tap(['test/after-suite.ts'], join(scratch, 'after.tap'), env) : nothing
  const passed = suite.passed + after.passed
  const failures = suite.failed + after.failed
  failed = failures > 0 || suite.code !== 0 || after.code !== 0
  for (const line of [...suite.failures, ...after.failures]) console.log(line)
  console.log(`\n${passed} passed, ${failed ? Math.max(failures, 1) : 0} failed`)
} finally {
  await server.close()
  await rm(scratch, { recursive: true, force: true })
}
process.exitCode = failed ? 1 : 0

async function tap(args: string[], output: string, env: NodeJS.ProcessEnv) {
  const child = spawn('tap', [`--output-file=${output}`, ...args], { env, stdio: 'inherit' })
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', resolve)
  })
  return { code, ...(await countTap(output)) }
}

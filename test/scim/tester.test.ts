// An independent test tool for SCIM, https://github.com/python-scim/scim2-tester, run against the service.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createWorld } from '../support/world.ts'

t.setTimeout(300_000)
const run = promisify(execFile)
const packages = ['scim2-tester==0.5.2', 'scim2-client[httpx2]==0.13.2', 'scim2-models==0.12.3']

/** Installs the tool once, for later runs as well; undefined if that is not possible here. */
async function installed(): Promise<string | undefined> {
  const folder = join('/var/tmp', `counterfoil-${packages[0]}`)
  const python = join(folder, 'bin/python')
  if (existsSync(python)) return python
  const made = await mkdtemp(`${folder}-`)
  try {
    await run('python3', ['-m', 'venv', made])
    await run(join(made, 'bin/python'), ['-m', 'pip', 'install', '--quiet', ...packages])
    await rename(made, folder)
    return python
  } catch {
    await rm(made, { recursive: true, force: true })
    return existsSync(python) ? python : undefined
  }
}

const python = await installed()

t.test(
  'scim2-tester finds nothing',
  {
    skip:
      python === undefined && 'scim2-tester cannot be installed here: it needs python3 with venv, and PyPI',
  },
  async (t) => {
    const world = await createWorld(t)
    const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
    const token = await world.manager(['scim'])
    const script = join(import.meta.dirname, 'tester.py')
    const env = { ...process.env, SCIM_TOKEN: token }
    const { stdout } = await run(python ?? '', [script, `${url}/scim/v2`], { env, maxBuffer: 2 ** 26 })
    const results: { title: string; status: string; reason: string }[] = JSON.parse(stdout)
    t.same(
      results.filter(({ status }) => !['SUCCESS', 'SKIPPED'].includes(status)),
      [],
    )
    t.ok(results.filter(({ status }) => status === 'SUCCESS').length > 40, 'it looked at everything')
    t.same(
      results.filter(({ status }) => status === 'SKIPPED'),
      [],
    )
  },
)

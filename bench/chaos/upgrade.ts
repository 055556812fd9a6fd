import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { atEnd } from '../cleanup.ts'
import { query } from '../database.ts'
import { addTokens } from '../seed.ts'
import { type Counts, type Instance, startLoad, thisRelease } from './load.ts'

/** The last commit of release 0.1.0, whose last migration is 0023. */
const lastRelease = 'fa5e73f31e4ce344d3a4bf19a3d19bf86c0341ad'
const besideMs = 5_000

/**
 * Two instances of the last release, under load on a database with `count` tokens. An instance of this one joins them,
 * which migrates the database, replaces one of them, and is then taken back.
 */
export async function upgradeAndBack(url: string, count: number): Promise<Counts> {
  const last = { DATABASE_URL: url, RELEASE: checkOut(lastRelease) }
  const next = { DATABASE_URL: url }
  await fill(last, count)
  const load = await startLoad([last, last])
  const [replaced] = load.instances as [Instance, ...Instance[]]
  const steps: [string, () => Promise<void>][] = [
    ['both releases side by side', () => load.start(next)],
    ['one instance of each', () => load.stop(replaced)],
    ['back to the last release', () => load.stop(load.instances[1] as Instance)],
    ['both releases again', () => load.start(next)],
  ]
  await delay(besideMs)
  for (const [step, run] of steps) {
    console.log(`upgrade: ${step}`)
    await run()
    await delay(besideMs)
  }
  await load.finish()
  return load.counts
}

/** A directory with the files of the commit and the packages that it uses. */
function checkOut(commit: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'counterfoil-release-'))
  atEnd(() => rmSync(directory, { recursive: true, force: true }))
  const archive = execFileSync('git', ['archive', commit], { cwd: thisRelease, maxBuffer: 2 ** 30 })
  execFileSync('tar', ['-x', '-C', directory], { input: archive })
  const options = ['--omit=dev', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund']
  execFileSync('npm', ['ci', ...options], { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] })
  return directory
}

async function fill(
  { DATABASE_URL: url, RELEASE }: { DATABASE_URL: string; RELEASE: string },
  count: number,
) {
  const env = { PATH: process.env.PATH, DATABASE_URL: url }
  execFileSync(process.execPath, [join(RELEASE, 'src', 'server.ts'), 'migrate'], { env })
  await query(
    url,
    `insert into token_types (name, prefix, carries_organization, format, default_scopes, audience, created_at, updated_at)
     values ('api', 'api', false, 'opaque', '{}', '{}', now(), now())`,
  )
  const { rows } = await query(url, 'select id from organizations')
  await addTokens({ url, organizationId: rows[0].id, admin: '', resourceServer: '' }, count)
}

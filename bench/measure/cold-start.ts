import { join } from 'node:path'
import { cores } from '../cores.ts'
import type { Seeded } from '../seed.ts'
import { startService } from '../service.ts'
import { median } from './throughput.ts'

/** Milliseconds from the start of the process to the first 200 from /readyz. */
export async function measureColdStart(seeded: Seeded, scratch: string, times: number) {
  const onDatabase: number[] = []
  const embedded: number[] = []
  for (let i = 0; i < times; i++) {
    onDatabase.push(await startAndStop({ DATABASE_URL: seeded.url }))
    // A new directory every time, so that the database is created, too.
    embedded.push(await startAndStop({ DATA_DIR: join(scratch, `cold-${i}`) }))
  }
  return { onDatabase: median(onDatabase), embedded: median(embedded) }
}

async function startAndStop(env: Record<string, string>): Promise<number> {
  const service = await startService(env, cores.all)
  await service.stop()
  return service.startMs
}

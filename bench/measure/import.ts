import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { startNode } from '../cleanup.ts'
import { cores } from '../cores.ts'
import type { Plan } from '../options.ts'
import { organization, prepareService, tokenType } from '../seed.ts'
import { program, startService } from '../service.ts'
import { rate } from './management.ts'
import { residentMiB } from './memory.ts'
import { createToken } from './tokens.ts'

/** `counterfoil import` of a file, into a new service with an embedded PostgreSQL. */
export async function measureImport(scratch: string, { onceSeconds, imports }: Plan) {
  const env = { DATA_DIR: join(scratch, 'import'), BOOTSTRAP_EXAMPLES: 'false' }
  const seeded = await prepareService(env)
  const service = await startService(env)
  try {
    const creates = await rate(onceSeconds, async () => {
      await createToken(service.port, seeded)
    })
    const file = join(scratch, 'tokens.ndjson')
    await pipeline(Readable.from(linesOf(imports)), createWriteStream(file))
    const url = `http://127.0.0.1:${service.port}`
    const args = [program, 'import', file, '--organization', organization, '--url', url]
    const start = performance.now()
    const command = startNode(cores.generator, args, { ADMIN_TOKEN: seeded.admin }, { ipc: false })
    const peak = { service: 0, command: 0 }
    const timer = setInterval(() => {
      peak.service = Math.max(peak.service, residentMiB(service.pid))
      peak.command = Math.max(peak.command, residentMiB(command.pid as number))
    }, 100)
    const [code] = await once(command, 'exit').finally(() => clearInterval(timer))
    if (code !== 0) throw new Error(`the import ended with code ${code}`)
    const seconds = (performance.now() - start) / 1000
    return { imports, seconds, toCreates: imports / seconds / creates, peak }
  } finally {
    await service.stop()
  }
}

function* linesOf(count: number): Generator<string> {
  for (let i = 1; i <= count; i++) {
    const sha256 = createHash('sha256').update(randomBytes(24)).digest('hex')
    const owner = { subject: `u-${i % 1000}`, identity_source: 'internal' }
    const dates = { created_at: '2024-05-01T08:00:00Z', last_used_at: '2025-05-01T08:00:00Z' }
    const token = { sha256, type: tokenType, name: `Token ${i}`, owner, ...dates, prefix: 'acme_' }
    yield `${JSON.stringify({ ...token, metadata: { former_id: String(i) } })}\n`
  }
}

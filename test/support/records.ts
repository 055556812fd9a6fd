import { appendFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'

/** Undefined outside the suite, for example in the benchmark: then nothing is recorded. */
const directory = process.env.TEST_RECORDS

/** Records a secret that was issued, for the search at the end of the run. */
export function recordSecret(secret: string): void {
  if (directory !== undefined) appendFileSync(join(directory, 'secrets'), `${secret}\n`)
}

/** Records log output. */
export function recordLog(text: string): void {
  if (directory !== undefined) appendFileSync(join(directory, 'logs'), text)
}

/** The log line of this request, as soon as it is written. */
export async function logLineOf(requestId: string): Promise<any> {
  for (;;) {
    const lines = readFileSync(join(directory ?? '', 'logs'), 'utf8').split('\n')
    const line = lines.find((one) => one.includes(requestId) && one.includes('"msg":"request"'))
    if (line) return JSON.parse(line)
    await setImmediate()
  }
}

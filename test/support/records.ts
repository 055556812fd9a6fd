import { appendFileSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'

/** Undefined outside the suite, for example in the benchmark: then nothing is recorded. */
const directory = process.env.TEST_RECORDS

/** Records a secret that was issued, for the search at the end of the run. */
export function recordSecret(secret: string): void {
  if (directory !== undefined) appendFileSync(join(directory, 'secrets'), `${secret}\n`)
}

let file: number | undefined
/** What this process recorded lately: the file of the whole run gets too long to be read again and again. */
const recent: string[] = []

/** Records log output. */
export function recordLog(text: string): void {
  if (directory === undefined) return
  file ??= openSync(join(directory, 'logs'), 'a')
  writeSync(file, text)
  recent.push(text)
  if (recent.length > 100_000) recent.splice(0, 50_000)
}

/** The latest log lines of this process that contain all of these texts. */
export function recordedLines(...texts: string[]): string[] {
  return recent.filter((line) => texts.every((one) => line.includes(one)))
}

/** The log line of this request, as soon as it is written. */
export async function logLineOf(requestId: string): Promise<any> {
  for (;;) {
    const [line] = recordedLines(requestId, '"msg":"request"')
    if (line) return JSON.parse(line)
    await setImmediate()
  }
}

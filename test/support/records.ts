import { appendFileSync } from 'node:fs'
import { join } from 'node:path'

const directory = process.env.TEST_RECORDS ?? ''

/** Keeps a secret that was issued, for the search at the end of the run. */
export function recordSecret(secret: string): void {
  appendFileSync(join(directory, 'secrets'), `${secret}\n`)
}

/** Keeps what was logged. */
export function recordLog(text: string): void {
  appendFileSync(join(directory, 'logs'), text)
}

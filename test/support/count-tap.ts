import { readFile } from 'node:fs/promises'

/**
 * The totals that tap writes at the end of its stream, like `# { total: 61, pass: 60, fail: 1 }`, and what did not hold:
 * an assertion, its test and its file, each with its line.
 */
export async function countTap(file: string) {
  const text = await readFile(file, 'utf8')
  const totals = text.match(/^# \{.*\}$/gm)?.at(-1) ?? ''
  const failures = text.match(/^ *not ok .*$/gm) ?? []
  return { passed: count(totals, 'pass'), failed: count(totals, 'fail'), failures }
}

function count(totals: string, name: string): number {
  return Number(new RegExp(`\\b${name}: (\\d+)`).exec(totals)?.[1] ?? 0)
}

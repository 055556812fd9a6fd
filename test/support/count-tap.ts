import { readFile } from 'node:fs/promises'

/** The totals that tap writes at the end of its stream, like `# { total: 61, pass: 60, fail: 1 }`. */
export async function countTap(file: string): Promise<{ passed: number; failed: number }> {
  const text = await readFile(file, 'utf8')
  const totals = text.match(/^# \{.*\}$/gm)?.at(-1) ?? ''
  return { passed: count(totals, 'pass'), failed: count(totals, 'fail') }
}

function count(totals: string, name: string): number {
  return Number(new RegExp(`\\b${name}: (\\d+)`).exec(totals)?.[1] ?? 0)
}

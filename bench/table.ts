import { type Bound, holds } from './acceptance.ts'

/** One line of the result. `value` is undefined if it could not be measured; `note` says why. */
export type Row = {
  what: string
  value: number | undefined
  unit?: 'ms' | 'MiB' | 'bytes'
  bound?: Bound
  note?: string
}

export function failed({ value, bound }: Row): boolean {
  return value === undefined || (bound !== undefined && !holds(value, bound))
}

/** Rows with an acceptance criterion first; a column says whether it holds. */
export function markdown(rows: Row[]): string {
  const judged = rows.filter((row) => row.bound || failed(row))
  const others = rows.filter((row) => !judged.includes(row))
  const lines = [...judged, ...others].map((row) =>
    [row.what, show(row, row.value), boundOf(row), verdict(row), row.note ?? ''].join(' | '),
  )
  const head = ['What | Measured | Bound | Holds | Note', '--- | ---: | ---: | --- | ---']
  return [...head, ...lines].map((line) => `| ${line} |`).join('\n')
}

function verdict(row: Row): string {
  if (failed(row)) return '**no**'
  return row.bound ? 'yes' : ''
}

function boundOf(row: Row): string {
  if (!row.bound) return ''
  return 'atLeast' in row.bound ? `≥ ${show(row, row.bound.atLeast)}` : `≤ ${show(row, row.bound.atMost)}`
}

function show({ unit }: Row, value: number | undefined): string {
  if (value === undefined) return 'not measured'
  return unit ? `${Number(value.toFixed(unit === 'ms' && value < 100 ? 1 : 0))} ${unit}` : decimals(value)
}

function decimals(value: number): string {
  if (Number.isInteger(value)) return String(value)
  return value >= 10 ? value.toFixed(1) : value >= 0.1 ? value.toFixed(2) : value.toFixed(4)
}

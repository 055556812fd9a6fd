import { words } from './words.ts'

/** English as used in the reader's region if possible, so that dates are written in the language of the words. */
const locale =
  navigator.languages.find((language) => language.split('-')[0] === words.language) ?? words.locale

const number = new Intl.NumberFormat(locale)
const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' })
const day = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', year: 'numeric' })
const parts = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23', timeZoneName: 'short' } as const
const date = { day: 'numeric', month: 'long', year: 'numeric' } as const
const long = new Intl.DateTimeFormat(locale, { weekday: 'long', ...date, ...parts })
const short = new Intl.DateTimeFormat(locale, { ...date, ...parts })
const utc = new Intl.DateTimeFormat(locale, { ...parts, timeZone: 'UTC' })

export const formatNumber = (value: number) => number.format(value)

/** A count that stops where counting further would take long. */
export const formatCount = ({ count, more }: { count: number; more: boolean }) =>
  more ? `${number.format(count)}+` : number.format(count)

/** Such as "Thursday, 25 February 2027 at 07:14 UTC". */
export const formatLong = (at: string | Date) => long.format(new Date(at))

/** The exact instant in the reader's zone, and in UTC as in the API. */
export function formatExact(at: string): string {
  const instant = new Date(at)
  const here = short.format(instant)
  return instant.getTimezoneOffset() === 0 ? here : `${here} (${utc.format(instant)})`
}

export const formatDay = (at: string | number) => day.format(new Date(at))

const units = [
  ['year', 365 * 86_400],
  ['month', 30 * 86_400],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
] as const

/** Such as "3 hours ago" and "in 2 days". */
export function formatRelative(at: string): string {
  const seconds = (new Date(at).getTime() - Date.now()) / 1000
  for (const [unit, length] of units)
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit)
  return words.justNow
}

/** Such as "7 days" or "12 hours". */
export function formatDuration(seconds: number): string {
  const unit = units.slice(2).find(([, length]) => seconds >= length && seconds % length === 0)
  const [name, length] = unit ?? (['second', 1] as const)
  return new Intl.NumberFormat(locale, { style: 'unit', unit: name, unitDisplay: 'long' }).format(
    seconds / length,
  )
}

export const formatDays = (days: number) => formatDuration(days * 86_400)

import { AppError, type FieldError } from '../errors.ts'

/** The instant of a `date-time`; RFC 3339 knows leap seconds, which JavaScript does not. */
export function parseInstant(where: FieldError['in'], field: string, text: string): Date {
  const instant = new Date(text)
  if (!Number.isNaN(instant.getTime())) return instant
  const detail = 'is not an instant'
  throw new AppError('invalid_request', `${where} ${field} ${detail}`, {
    fields: [{ in: where, field, detail }],
  })
}

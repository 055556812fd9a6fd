const patternMessage = 'x-pattern-message'
const unchangeable = 'x-unchangeable'

/** Custom keywords of our schemas that do not validate, but contain error messages. */
export const messageKeywords = [patternMessage, unchangeable]

export const notBlank = { pattern: '\\S', [patternMessage]: 'must not be blank' }

export const nameForm = { ...notBlank, format: 'name' }

type Members = { properties: object }

/** Details for members that are shown, or given at creation, but cannot be changed by a PATCH. */
export function unchangeableOf(shown: Members, created: Members) {
  const say = ({ properties }: Members, message: string) =>
    Object.keys(properties).map((name) => [name, message])
  return {
    [unchangeable]: Object.fromEntries([
      ...say(shown, 'is set by the service and cannot be changed here'),
      ...say(created, 'never changes'),
      ...say({ properties: { id: {}, organization: {}, created_at: {}, created_by: {} } }, 'never changes'),
    ]),
  }
}

type ViolatedSchema = {
  properties?: object
  [patternMessage]?: string
  [unchangeable]?: Record<string, string>
}

export function describePattern(schema: ViolatedSchema | undefined): string {
  return schema?.[patternMessage] ?? 'does not have the required form'
}

/** The error for a member that the schema does not have. */
export function describeUnknown(member: string, schema: ViolatedSchema | undefined): string {
  const fixed = schema?.[unchangeable]
  if (fixed && Object.hasOwn(fixed, member)) return fixed[member] as string
  const meant = Object.keys(schema?.properties ?? {}).find((known) => isOneEditApart(known, member))
  return meant === undefined ? 'is not known here' : `is not known here; did you mean ${meant}?`
}

/** Whether the two differ only by one extra, missing or wrong letter, or by two swapped letters. */
export function isOneEditApart(one: string, other: string): boolean {
  const [short, long] = one.length <= other.length ? [one, other] : [other, one]
  if (long.length - short.length > 1 || short === long) return false
  let start = 0
  while (start < short.length && short[start] === long[start]) start += 1
  if (short.length < long.length) return short.slice(start) === long.slice(start + 1)
  if (short.slice(start + 1) === long.slice(start + 1)) return true
  const isSwapped = short[start] === long[start + 1] && short[start + 1] === long[start]
  return isSwapped && short.slice(start + 2) === long.slice(start + 2)
}

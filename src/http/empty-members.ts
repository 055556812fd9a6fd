import type { preValidationHookHandler } from 'fastify'

/**
 * Drops members that are null or "" before a create is validated, since forms send these for fields that were left empty.
 * It does so at the top level and in the objects that `nested` names; an object that only had such members is dropped too.
 */
export function dropEmptyMembers(...nested: string[]): preValidationHookHandler {
  return (request, _reply, done) => {
    request.body = withoutEmpty(request.body, nested)
    done()
  }
}

/** For a PATCH: "" means null in the members that can be cleared. */
export function clearEmptyMembers(...clearable: string[]): preValidationHookHandler {
  return ({ body }, _reply, done) => {
    if (isObject(body)) for (const name of clearable) if (body[name] === '') body[name] = null
    done()
  }
}

function withoutEmpty(body: unknown, nested: string[]): unknown {
  if (!isObject(body)) return body
  const members = Object.entries(body)
    .map(([name, value]) => [name, nested.includes(name) ? emptied(value) : value] as const)
    .filter(([, value]) => value !== null && value !== '')
  return Object.fromEntries(members)
}

/** Null if it only had empty members. An empty object stays: it is not what a form sends for an empty field. */
function emptied(value: unknown): unknown {
  const rest = withoutEmpty(value, [])
  const isEmpty = isObject(rest) && Object.keys(rest).length === 0
  return isEmpty && Object.keys(value as object).length > 0 ? null : rest
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

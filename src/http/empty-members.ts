import type { FastifyRequest } from 'fastify'

type Members = Record<string, unknown>

type Shape = {
  $ref?: string
  type?: string | string[]
  properties?: Record<string, Shape>
  required?: string[]
  items?: Shape
}

/**
 * A preValidation hook. Forms send null or "" for fields that were left empty: in optional members, both mean absence. In
 * a PATCH, where absence keeps a value, "" means null, which clears it. Required members, free-form objects and the parts
 * of a limit (`narrowed_to`, whose schema is a union) are left as they are.
 */
export async function readEmptyMembers(request: FastifyRequest): Promise<void> {
  const { method, routeOptions, server, body } = request
  const shape = routeOptions.schema?.body as Shape | undefined
  if (!shape || !isObject(body)) return
  const resolve = (shape: Shape) =>
    shape.$ref ? (server.getSchema(shape.$ref.replace('#', '')) as Shape) : shape
  request.body = readMembers(body, resolve(shape), { resolve, isPatch: method === 'PATCH' })
}

/** The same for an object that is created and is not the whole body. */
export function withoutEmptyMembers(value: unknown, shape: object): unknown {
  return isObject(value) ? readMembers(value, shape, { resolve: (one) => one, isPatch: false }) : value
}

type Reading = { resolve(shape: Shape): Shape; isPatch: boolean }

function readMembers(body: Members, { properties = {}, required = [] }: Shape, reading: Reading): Members {
  const members = Object.entries(body).flatMap(([name, before]) => {
    const shape = Object.hasOwn(properties, name) ? properties[name] : undefined
    if (!shape) return [[name, before]]
    const member = reading.resolve(shape)
    const value = read(before, member, reading)
    if (required.includes(name) || !isEmpty(value)) return [[name, value]]
    if (reading.isPatch) return [[name, takesNull(member) ? null : value]]
    return value === null && takesNull(member) ? [[name, null]] : []
  })
  return Object.fromEntries(members)
}

function read(value: unknown, shape: Shape, reading: Reading): unknown {
  const { items, properties, required = [] } = shape
  if (Array.isArray(value) && items) {
    const item = reading.resolve(items)
    return value.map((one) => (isObject(one) ? readMembers(one, item, { ...reading, isPatch: false }) : one))
  }
  if (!isObject(value) || !properties) return value
  const members = readMembers(value, shape, reading)
  // A form in which a whole group of fields was left empty sets nothing in that group.
  const values = Object.values(members)
  return required.length > 0 && values.length > 0 && values.every(isEmpty) ? '' : members
}

function isEmpty(value: unknown): boolean {
  return value === null || value === ''
}

function takesNull({ type }: Shape): boolean {
  return Array.isArray(type) && type.includes('null')
}

function isObject(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

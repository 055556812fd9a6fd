/** The subset of JSON Schema needed to derive examples. */
export type Schema = {
  $ref?: string
  type?: string | string[]
  examples?: unknown[]
  enum?: unknown[]
  minimum?: number
  anyOf?: Schema[]
  items?: Schema
  properties?: Record<string, Schema>
}

/**
 * The schema's own first example, or one composed of its members' examples, so that each member's example is written
 * only once. Undefined if there is none.
 */
export function exampleOf(schema: Schema, components: Record<string, Schema>): unknown {
  const { $ref, examples, anyOf, items, properties } = schema
  if ($ref) return exampleOf(components[$ref.slice($ref.lastIndexOf('/') + 1)] ?? {}, components)
  if (examples) return examples[0]
  if (schema.enum) return schema.enum[0]
  if (anyOf?.[0]) return exampleOf(anyOf[0], components)
  const types = [schema.type].flat()
  if (types.includes('null')) return null
  if (types.includes('boolean')) return false
  if (types.includes('integer')) return schema.minimum ?? 1
  if (items) return [exampleOf(items, components)]
  if (!properties) return undefined
  const members = Object.entries(properties).map(([name, member]) => [name, exampleOf(member, components)])
  return Object.fromEntries(members.filter(([, example]) => example !== undefined))
}

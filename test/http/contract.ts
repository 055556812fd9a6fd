import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { FastifyInstance } from 'fastify'
import { formats } from '../../src/http/formats.ts'
import type { Answer } from '../support/world.ts'

export type Parameter = { name: string; in: 'path' | 'query' | 'header'; required?: boolean; schema: any }
export type Operation = {
  id: string
  method: string
  path: string
  parameters: Parameter[]
  body: { type: string; schema: any; examples: any[] } | undefined
  responses: Record<string, { content?: Record<string, { schema: any }>; headers?: object }>
  definition: any
}

/** Every operation of the OpenAPI document that the app generates. */
export async function operationsOf(app: FastifyInstance): Promise<Operation[]> {
  await app.ready()
  const document = app.swagger() as any
  return Object.entries<any>(document.paths).flatMap(([path, item]) =>
    Object.entries<any>(item).map(([method, definition]) => ({
      id: definition.operationId,
      method: method.toUpperCase(),
      path,
      parameters: definition.parameters ?? [],
      body: bodyOf(definition, document),
      responses: definition.responses,
      definition,
    })),
  )
}

function bodyOf({ requestBody }: any, document: any): Operation['body'] {
  if (!requestBody) return undefined
  const [[type, { schema }]] = Object.entries<any>(requestBody.content) as [[string, any]]
  const component = document.components.schemas[schema.$ref.split('/').at(-1)]
  return { type, schema: component, examples: component.examples }
}

/** Headers that may be missing: the last page has no next one, and a first request is not a replay. */
const optionalHeaders = ['Link', 'Idempotency-Replayed']

/** OpenAPI 3.1 cannot describe the lines of a JSON Lines body. */
const lineSchemas: Record<string, string> = {
  exportAuditEvents: 'AuditEvent',
  exportAuditProofs: 'ProofLine',
  importTokens: 'TokenImportResult',
}

/**
 * How a response deviates from the OpenAPI document: an undeclared status, media type or member, a missing header, or a
 * body that does not match its schema. 404 and 405 may also mean that the path or method does not exist.
 */
export function contractOf(app: FastifyInstance): (operation: Operation, answer: Answer) => string[] {
  const ajv = createAjv()
  ajv.addSchema(closed(app.swagger()), 'document')
  return ({ id, path, method, responses }, { status, headers, body, text }) => {
    const response = responses[status]
    if (!response) return [404, 405].includes(status) ? [] : [`${id} does not declare ${status}: ${text}`]
    const missing = Object.keys(response.headers ?? {}).filter(
      (name) => !optionalHeaders.includes(name) && headers[name.toLowerCase()] === undefined,
    )
    if (missing.length > 0) return [`${id} ${status} lacks the header ${missing}`]
    if (!response.content) return text === '' ? [] : [`${id} ${status} has a body: ${text}`]
    const type = String(headers['content-type']).split(';')[0] ?? ''
    if (!(type in response.content)) return [`${id} ${status} does not declare ${type}`]
    const pointer = ['paths', path, method.toLowerCase(), 'responses', status, 'content', type, 'schema']
    const validate = ajv.getSchema(`document#/${pointer.map(encoded).join('/')}`)
    if (!validate) return [`${id} ${status} has no schema`]
    if (!validate(/\bjson$/.test(type) ? body : text))
      return [`${id} ${status}: ${ajv.errorsText(validate.errors)}: ${text}`]
    return /(jsonl|ndjson)$/.test(type) ? wrongLines(ajv, id, text) : []
  }
}

/** With the formats of JSON Schema and those of our own. */
export function createAjv(): Ajv2020 {
  const ajv = new Ajv2020({ strict: false, allErrors: true })
  addFormats.default(ajv)
  for (const [name, { validate }] of Object.entries(formats)) ajv.addFormat(name, validate)
  return ajv
}

function wrongLines(ajv: Ajv2020, id: string, text: string): string[] {
  const validate = ajv.getSchema(`document#/components/schemas/${lineSchemas[id]}`)
  if (!validate) return [`${id} says nowhere what its lines are`]
  if (text !== '' && !text.endsWith('\n')) return [`${id} breaks off in a line`]
  const wrong = text.split('\n').filter((line) => line !== '' && !validate(JSON.parse(line)))
  return wrong.map((line) => `${id} has the line ${line}`)
}

function encoded(segment: string | number): string {
  return encodeURIComponent(String(segment).replaceAll('~', '~0').replaceAll('/', '~1'))
}

/** The same document with additional members forbidden. */
function closed(value: any): any {
  if (Array.isArray(value)) return value.map(closed)
  if (typeof value !== 'object' || value === null) return value
  const copy = Object.fromEntries(Object.entries(value).map(([key, member]) => [key, closed(member)]))
  const names = typeof copy.type === 'string' || Array.isArray(copy.type) ? copy.properties : undefined
  return names && copy.additionalProperties === undefined ? { ...copy, additionalProperties: false } : copy
}

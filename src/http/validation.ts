import AjvCompiler, { type BuildCompilerFromPool } from '@fastify/ajv-compiler'
import SerializerCompiler from '@fastify/fast-json-stringify-compiler'
import { formats } from './formats.ts'

const build = AjvCompiler()
const strict = {
  coerceTypes: false,
  removeAdditional: false,
  useDefaults: true,
  allErrors: true,
  allowUnionTypes: true,
} as const

/** In place of those of ajv-formats, which know `urn:uuid:` and instants that PostgreSQL does not. */
function addFormats(ajv: AjvCompiler.Ajv): void {
  for (const [name, { validate }] of Object.entries(formats)) ajv.addFormat(name, validate)
}

/**
 * Bodies are taken as they are: Fastify's defaults would accept "7" for an integer and drop unknown members in
 * silence. Everything else is text to begin with, so it is converted. All errors are reported at once, which the
 * limits on body and header sizes keep cheap.
 */
const buildValidator: BuildCompilerFromPool = (externalSchemas) => {
  const body = build(externalSchemas, { customOptions: strict, onCreate: addFormats })
  // Strict about numbers, Ajv would let 1e400, which is infinite, past every maximum once it is converted.
  const lenient = { ...strict, coerceTypes: true, strictNumbers: false }
  const text = build(externalSchemas, { customOptions: lenient, onCreate: addFormats })
  // Typed as a schema, it is called with a route's schema and the part of the request that it is for.
  return (route) => ((route as { httpPart?: string }).httpPart === 'body' ? body(route) : text(route))
}

const buildAnySerializer = SerializerCompiler()
/** By the schemas that theirs may refer to, and by their own. */
const serializers = new Map<string, Map<string, SerializerCompiler.Serializer>>()

/** Compiles each schema once: most of the answers that a route declares are the problems that all others declare too. */
const buildSerializer: SerializerCompiler.SerializerFactory = (externalSchemas, options) => {
  const compile = buildAnySerializer(externalSchemas, options)
  const shared = JSON.stringify(externalSchemas)
  const compiled = serializers.get(shared) ?? new Map<string, SerializerCompiler.Serializer>()
  serializers.set(shared, compiled)
  return (route) => {
    const schema = JSON.stringify(route.schema)
    const serialize = compiled.get(schema) ?? compile(route)
    compiled.set(schema, serialize)
    return serialize
  }
}

export const schemaController = { compilersFactory: { buildValidator, buildSerializer } }

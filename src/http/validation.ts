import AjvCompiler, { type BuildCompilerFromPool } from '@fastify/ajv-compiler'
import SerializerCompiler from '@fastify/fast-json-stringify-compiler'
import type { FastifyRequest } from 'fastify'
import type { Static, TSchema } from 'typebox'
import { validate as isUuid } from 'uuid'
import { formats } from './formats.ts'
import { messageKeywords } from './messages.ts'

const build = AjvCompiler()
const strict = {
  coerceTypes: false,
  removeAdditional: false,
  useDefaults: true,
  allErrors: true,
  allowUnionTypes: true,
  // Errors then refer to the schema that was violated, for the messages in to-app-error.ts.
  verbose: true,
  // Compiling the meta-schema would delay every start.
  meta: false,
  validateSchema: false,
} as const

// With strict numbers, Ajv would let 1e400 (infinity once converted) pass every maximum.
const lenient = { ...strict, coerceTypes: true, strictNumbers: false }

/** Replaces the formats of ajv-formats, which accept `urn:uuid:` and instants that PostgreSQL rejects. */
function addFormats(ajv: AjvCompiler.Ajv): void {
  for (const keyword of messageKeywords) ajv.addKeyword(keyword)
  for (const [name, { validate }] of Object.entries(formats)) ajv.addFormat(name, validate)
}

/**
 * Bodies are not converted: Fastify's defaults would accept "7" for an integer and silently drop unknown members. All
 * other values arrive as text, so they are converted. All errors are reported at once, which is cheap within the limits
 * on body and header sizes.
 */
const buildValidator: BuildCompilerFromPool = (externalSchemas) => (route) => {
  // Its declared type is a schema, but it is the route's schema together with the part of the request.
  const customOptions = (route as { httpPart?: string }).httpPart === 'body' ? strict : lenient
  return build(externalSchemas, { customOptions, onCreate: addFormats })(route)
}

/** Whether the value fits the schema, which has to be a constant: it is kept together with its compiled form. */
export function fits<T extends TSchema>(schema: T, value: unknown): value is Static<T> {
  return violations(schema, value).length === 0
}

const validatorOf = buildValidator({}, {})

/** How the value violates the schema, which has to be a constant too. Adds defaults to the value. */
export function violations(schema: TSchema, value: unknown): AjvCompiler.ErrorObject[] {
  const validate = validatorOf({ schema, httpPart: 'body' })
  return validate(value) ? [] : (validate.errors ?? [])
}

type Compiled = { (input: unknown): unknown; errors?: unknown }
type Compile = (route: { schema: unknown; httpPart?: string }) => Compiled

/**
 * Compiles each schema when it is first needed, so that the service starts sooner, and once in a process: many routes
 * declare the same parameters and problems, and tests build many apps.
 */
function compileOnce<Factory extends (externalSchemas: never, options: never) => (route: never) => unknown>(
  factory: Factory,
): Factory {
  /**
   * By the ids of the schemas that can be referred to, which are constants. Fastify calls this again for every route.
   */
  const compilers = new Map<string, Compile>()
  const build = (externalSchemas: never, options: never): Compile => {
    const shared = Object.keys(externalSchemas).join()
    const compile = compilers.get(shared) ?? remembering(factory(externalSchemas, options) as Compile)
    compilers.set(shared, compile)
    return (route) => whenNeeded(() => compile(route))
  }
  return build as unknown as Factory
}

/** Compiles equal schemas once. */
function remembering(compile: Compile): Compile {
  const compiled = new Map<string, Compiled>()
  return (route) => {
    const key = `${route.httpPart === 'body'} ${JSON.stringify(route.schema)}`
    const made = compiled.get(key) ?? compile(route)
    compiled.set(key, made)
    return made
  }
}

function whenNeeded(compile: () => Compiled): Compiled {
  let made: Compiled | undefined
  const run: Compiled = (input) => {
    made ??= compile()
    const result = made(input)
    // Fastify looks for the errors of a validator at this function. Its result stays false, since
    // `request.validateInput` takes anything else for valid.
    run.errors = made.errors
    return result
  }
  return run
}

export const schemaController = {
  compilersFactory: {
    buildValidator: compileOnce(buildValidator),
    buildSerializer: compileOnce(SerializerCompiler()),
  },
}

/** A preHandler hook. Ids in upper case are the same ids (RFC 9562 §4); normalizes them to lower case. */
export async function lowerCaseIds({ params, routeOptions }: FastifyRequest): Promise<void> {
  const { properties = {} } = (routeOptions.schema?.params ?? {}) as Described
  const given = params as Record<string, string>
  for (const [name, value] of Object.entries(given)) {
    const isId = properties[name]?.format === 'uuid' || (name === 'organization' && isUuid(value))
    if (isId) given[name] = value.toLowerCase()
  }
}

type Described = { properties?: Record<string, { format?: string }> }

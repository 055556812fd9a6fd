import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance, onRequestHookHandler } from 'fastify'
import { AppError, catalogue, type ErrorCode } from '../shared/errors.ts'
import { version } from '../shared/version.ts'
import { exampleOf, type Schema } from './examples.ts'
import { guides } from './guides.ts'
import { problemDocument } from './problem.ts'
import { exampleRequestId } from './schemas.ts'

const description = `Issues API tokens for many organizations, keeps only a hash of each, and introspects them.

Every response carries \`X-Request-Id\`, which identifies the request in the logs. A path answers methods that it
does not offer with 405 and \`Allow\`.

To try operations here, click "Authorize" and enter a management token as \`bearer\`. The guides explain how the operations
work together; start with "Check tokens in your service".`

// The plugin's own policy allows other hosts, and would make browsers request the scripts over HTTPS even without TLS.
const docsPolicy = {
  'default-src': ["'none'"],
  'script-src': ["'self'"],
  'style-src': ["'self'"],
  'img-src': ["'self'", 'data:'],
  'font-src': ["'self'", 'data:'],
  'connect-src': ["'self'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
  'frame-ancestors': ["'none'"],
}

type Parameter = {
  required?: boolean
  description?: string
  example?: unknown
  schema?: { default?: unknown }
}
type Operation = {
  parameters?: Parameter[]
  responses: Record<string, { content?: Record<string, { examples?: object }> }>
  requestBody?: { required: boolean; content: Record<string, { schema: Schema }> }
}
type Document = {
  components: { schemas: Record<string, Schema>; examples?: Record<string, object> }
  paths: Record<string, Record<string, Operation>>
}

/** Generates the OpenAPI document from the routes that are registered after this. */
export async function openapi(app: FastifyInstance): Promise<void> {
  const guide = (name: string, description: string) => ({
    url: `${app.basePath}/docs/guides/${name}`,
    description,
  })
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Counterfoil',
        version,
        description,
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: app.basePath || '/' }],
      tags: [
        {
          name: 'Tokens',
          description: 'Issue, list, change, revoke and delete tokens.',
          externalDocs: guide('managing-tokens.md', 'Build a token screen'),
        },
        {
          name: 'Verifying',
          description: 'For resource servers: check whether a bearer token is good.',
          externalDocs: guide('integrating.md', 'Check tokens in your service'),
        },
        {
          name: 'Client keys',
          description: 'Keys that resource servers authenticate with instead of a secret.',
          externalDocs: guide('caller-authentication.md', 'How resource servers authenticate'),
        },
        { name: 'Owners', description: 'The users that tokens belong to.' },
        {
          name: 'SCIM',
          description:
            "For identity providers: the users of the directory (RFC 7644), in the token's organization.",
          externalDocs: guide('scim.md', 'SCIM'),
        },
        { name: 'Token types', description: 'The kinds of token; for platform administrators.' },
        {
          name: 'Token types of organizations',
          description: 'The kinds of token that an organization has of its own; they take precedence.',
        },
        {
          name: 'Signing keys',
          description: 'The keys that sign JWTs; for platform administrators.',
          externalDocs: guide('jwt.md', 'JWTs and signing keys'),
        },
        { name: 'Organizations', description: 'The tenants that own tokens; for platform administrators.' },
        {
          name: 'Sign-in',
          description: 'Identity providers whose users may manage tokens as themselves.',
          externalDocs: guide('sign-in.md', 'Sign-in'),
        },
        {
          name: 'Security events',
          description: 'Security events of identity providers about their users (RFC 8417).',
          externalDocs: guide('signals.md', 'Security events'),
        },
        {
          name: 'Policy',
          description: 'The rules of an organization for its tokens.',
          externalDocs: guide('policies.md', 'Policies'),
        },
        {
          name: 'Webhooks',
          description: 'Endpoints that receive events.',
          externalDocs: guide('webhooks.md', 'Webhooks'),
        },
        {
          name: 'Leaks',
          description: 'Reports of leaked secrets.',
          externalDocs: guide('leaks.md', 'Leaked tokens'),
        },
        {
          name: 'Change log',
          description: 'Who changed what, and when, and the proof that it was not edited.',
          externalDocs: guide('transparency-log.md', 'Prove that the change log was not edited'),
        },
        { name: 'Sessions', description: 'Sign-ins of the console.' },
        {
          name: 'Operations',
          description: 'For operators of the service.',
          externalDocs: guide('operating.md', 'Operate Counterfoil'),
        },
      ],
      externalDocs: guide('', 'Guides'),
      components: {
        securitySchemes: {
          basic: {
            type: 'http',
            scheme: 'basic',
            description:
              'The id of a management token as the user name, its secret as the password (RFC 6749 §2.3.1).',
          },
          privateKeyJwt: {
            type: 'oauth2',
            flows: {},
            description:
              '`client_assertion` and `client_assertion_type` in the form, signed with a client key (RFC 7523 §2.2).',
          },
          gateway: {
            type: 'apiKey',
            in: 'header',
            name: 'X-Counterfoil-Gateway',
            description:
              'A management token with `tokens:introspect`; not needed from networks in VERIFY_TRUSTED_NETWORKS.',
          },
          // Last, because Swagger UI's dialog scrolls to the last one and puts the cursor there.
          bearer: {
            type: 'http',
            scheme: 'bearer',
            description:
              'A token of the type `management` (RFC 6750), or under `/v1` a token that a trusted issuer gave a user.',
          },
        },
      },
      security: [{ bearer: [] }],
    },
    refResolver: { buildLocalReference: (schema) => String(schema.$id) },
    transformObject: (made) => {
      if ('openapiObject' in made) complete(app.basePath, made.openapiObject as unknown as Document)
      return 'openapiObject' in made ? made.openapiObject : made.swaggerObject
    },
  })
}

/** Adds what the route schemas imply but the generator does not produce. */
function complete(basePath: string, { components, paths }: Document): void {
  const { schemas } = components
  const examples: Record<string, object> = {}
  components.examples = examples
  for (const schema of Object.values(schemas)) schema.examples ??= [exampleOf(schema, schemas)]
  const operations = Object.values(paths).flatMap(Object.values<Operation>)
  for (const { parameters = [], requestBody, responses } of operations) {
    for (const parameter of parameters) {
      if (parameter.schema?.default !== undefined) parameter.required = false
      if (parameter.required !== true) describeExample(parameter)
    }
    for (const [status, { content }] of Object.entries(responses)) {
      const problem = content?.['application/problem+json']
      if (!problem) continue
      const those = codes.filter((code) => catalogue[code].status === Number(status))
      for (const code of those) examples[code] = exampleOfProblem(basePath, code)
      problem.examples = Object.fromEntries(
        those.map((code) => [code, { $ref: `#/components/examples/${code}` }]),
      )
    }
    if (requestBody) requestBody.required = !mayBeLeftOut(requestBody, schemas)
  }
}

/**
 * Swagger UI prefills and sends an `example` of a parameter: with a prefilled Idempotency-Key, the next person would
 * get the first token created with it, and example dates would make every list empty.
 */
function describeExample(parameter: Parameter): void {
  const { example, description = '' } = parameter
  if (example === undefined) return
  parameter.description = `${description} Example: \`${example}\``.trim()
  delete parameter.example
}

const codes = Object.keys(catalogue) as ErrorCode[]

function exampleOfProblem(
  basePath: string,
  code: ErrorCode,
): { summary: string; description: string; value: object } {
  const { title, advice } = catalogue[code]
  const value = problemDocument(basePath, new AppError(code, `${title}.`), exampleRequestId)
  return { summary: title, description: advice, value }
}

/** A nullable body is optional: Fastify treats a missing body as null. */
function mayBeLeftOut({ content }: NonNullable<Operation['requestBody']>, schemas: Record<string, Schema>) {
  const names = Object.values(content).map(({ schema: { $ref } }) => $ref?.split('/').at(-1) ?? '')
  return names.some((name) => [schemas[name]?.type].flat().includes('null'))
}

/** Serves the API reference, generated from the OpenAPI document, and the guides. */
export async function docs(app: FastifyInstance): Promise<void> {
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    // For the assets of a page whose URL does not end with a slash.
    indexPrefix: app.basePath,
    staticCSP: docsPolicy,
    uiConfig: { deepLinking: true, layout: 'BaseLayout', plugins: [emptyFormFields] },
    uiHooks: { onRequest: redirectIndex },
  })
  await app.register(guides)
}

/**
 * A plugin of Swagger UI, sent to the browser as source text. Swagger UI prefills every field of a form with a sample, or
 * sends it empty: introspection would fail for a client_assertion of "string".
 */
const emptyFormFields = () => ({
  afterLoad(this: SwaggerUi) {
    const sample = this.fn.getSampleSchema
    this.fn.getSampleSchema = (schema, mediaType, ...rest) =>
      mediaType === false ? '' : sample(schema, mediaType, ...rest)
  },
  wrapComponents: {
    ParameterIncludeEmpty:
      (original: unknown, { React }: SwaggerUi) =>
      (props: object) =>
        React.createElement(original, {
          ...props,
          isIncludedOptions: { shouldDispatchInit: true, defaultValue: false },
        }),
  },
})

type SwaggerUi = {
  fn: { getSampleSchema(schema: unknown, mediaType: string | false, ...rest: unknown[]): unknown }
  React: { createElement(component: unknown, props: object): unknown }
}

/** Replaces the plugin's redirect, which would ignore the path of PUBLIC_URL. */
const redirectIndex: onRequestHookHandler = (request, reply, done) => {
  if (request.routeOptions.url === '/docs/static/index.html') reply.redirect('../', 303)
  else done()
}

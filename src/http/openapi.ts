import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { version } from '../version.ts'

/** Generates the OpenAPI document from the routes that are registered after this, and serves a reference made of it. */
export async function openapi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Counterfoil',
        version,
        description:
          'Issues API tokens for many organizations, keeps only a hash of each, and introspects them.',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: '/' }],
      tags: [
        { name: 'Tokens', description: 'Issue, list, change, revoke and delete tokens.' },
        { name: 'Verifying', description: 'For resource servers: is this bearer token good?' },
        { name: 'Token types', description: 'What kinds of token there are; for platform administrators.' },
        { name: 'Signing keys', description: 'What JWTs are signed with; for platform administrators.' },
        { name: 'Organizations', description: 'Whose tokens they are; for platform administrators.' },
        { name: 'Policy', description: 'What an organization allows its tokens to be.' },
        { name: 'Change log', description: 'Who did what, and when.' },
        { name: 'Operations', description: 'For those who run it.' },
      ],
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            description: 'A token of the type `management` (RFC 6750).',
          },
          basic: {
            type: 'http',
            scheme: 'basic',
            description:
              'The id of a management token as user name, its secret as password (RFC 6749 §2.3.1).',
          },
        },
      },
      security: [{ bearer: [] }],
    },
    refResolver: { buildLocalReference: (schema) => String(schema.$id) },
  })
  await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true, uiConfig: { deepLinking: true } })
}

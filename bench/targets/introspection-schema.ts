/** The response schema, by which Fastify serializes. */
export const responseSchema = {
  type: 'object',
  properties: {
    active: { type: 'boolean' },
    scope: { type: 'string' },
    client_id: { type: 'string' },
    token_type: { type: 'string' },
    iat: { type: 'integer' },
    sub: { type: 'string' },
    aud: { type: 'array', items: { type: 'string' } },
    iss: { type: 'string' },
    jti: { type: 'string' },
    organization: { type: 'string' },
    type: { type: 'string' },
    token_name: { type: 'string' },
  },
}

import { userAttributes, userSchema } from './attributes.ts'
import type { Attribute } from './store.ts'

const core = 'urn:ietf:params:scim:schemas:core:2.0'

/** RFC 7643 §5. */
export function serviceProviderConfig(url: string, maxResults: number) {
  return {
    schemas: [`${core}:ServiceProviderConfig`],
    patch: { supported: true },
    bulk: { supported: false, maxOperations: 0, maxPayloadSize: 0 },
    filter: { supported: true, maxResults },
    changePassword: { supported: false },
    sort: { supported: false },
    etag: { supported: true },
    authenticationSchemes: [
      {
        type: 'oauthbearertoken',
        name: 'Bearer token',
        description: 'A management token of the organization with the permission `scim` (RFC 6750).',
        specUri: 'https://www.rfc-editor.org/info/rfc6750',
        primary: true,
      },
    ],
    meta: { resourceType: 'ServiceProviderConfig', location: `${url}/ServiceProviderConfig` },
  }
}

/** RFC 7643 §6. */
export function resourceTypes(url: string) {
  return [
    {
      schemas: [`${core}:ResourceType`],
      id: 'User',
      name: 'User',
      description: 'Users of the directory, who own tokens',
      endpoint: '/Users',
      schema: userSchema,
      schemaExtensions: [],
      meta: { resourceType: 'ResourceType', location: `${url}/ResourceTypes/User` },
    },
  ]
}

/** RFC 7643 §7. */
export function schemas(url: string) {
  return [
    {
      schemas: [`${core}:Schema`],
      id: userSchema,
      name: 'User',
      description: 'The attributes of a user that are kept',
      attributes: userAttributes.map(describe),
      meta: { resourceType: 'Schema', location: `${url}/Schemas/${userSchema}` },
    },
  ]
}

function describe(attribute: Attribute): object {
  const { name, type, description } = attribute
  return {
    name,
    type,
    multiValued: attribute.type === 'complex' && attribute.multiValued,
    description,
    required: name === 'userName' || name === 'active',
    ...(attribute.type === 'string' && { caseExact: attribute.caseExact ?? false }),
    mutability: 'readWrite',
    returned: 'default',
    uniqueness: name === 'userName' ? 'server' : 'none',
    ...(attribute.type === 'complex' && { subAttributes: attribute.subAttributes.map(describe) }),
  }
}

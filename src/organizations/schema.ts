import { type Static, Type } from 'typebox'
import type { Organization as Row } from '../db/tables.ts'
import { nameForm, unchangeableOf } from '../http/messages.ts'
import { Page, pageQuery } from '../http/pages.ts'
import { DateTime, Id, nullable } from '../http/schemas.ts'
import { organizationKeyPattern } from '../shared/organization-key.ts'
import { plainName } from '../shared/text.ts'

const Name = Type.String({ minLength: 1, maxLength: 200, ...nameForm, examples: ['Acme Inc.'] })

const Key = Type.String({
  pattern: organizationKeyPattern,
  'x-pattern-message':
    'must be 1 to 64 letters, digits, hyphens, underscores and dots, and must start with a letter or digit',
  description:
    'Used in paths and, if the token type says so, in tokens. It never changes. Its case is kept, and ignored when the ' +
    'organization is looked up.',
  examples: ['acme'],
})

export const NewOrganization = Type.Object(
  { key: Key, name: Name },
  { $id: 'NewOrganization', additionalProperties: false },
)

export const Organization = Type.Object(
  {
    id: Id,
    key: Type.String({ examples: ['acme'] }),
    name: Type.String({ examples: ['Acme Inc.'] }),
    suspended_at: nullable.dateTime({
      description: 'When it was suspended; since then none of its tokens is good.',
    }),
    created_at: DateTime(),
    updated_at: DateTime(),
  },
  { $id: 'Organization', description: 'An organization, to which tokens belong.' },
)

export const OrganizationChange = Type.Object(
  { name: Type.Optional(Name) },
  {
    $id: 'OrganizationChange',
    additionalProperties: false,
    ...unchangeableOf(Organization, NewOrganization),
  },
)

export const OrganizationPage = Page(Organization, 'OrganizationPage')
export const OrganizationQuery = Type.Object(pageQuery, { additionalProperties: false })
/** A key. */
export const OrganizationPosition = Type.String()
export function withPlainName<Body extends { name?: string }>(body: Body): Body {
  return body.name === undefined ? body : { ...body, name: plainName(body.name) }
}

export const components = [Organization, OrganizationPage, NewOrganization, OrganizationChange]

export function presentOrganization(row: Row): Static<typeof Organization> {
  return {
    id: row.id,
    key: row.key,
    name: row.name,
    suspended_at: row.suspendedAt?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  }
}

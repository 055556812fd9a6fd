import { type Static, Type } from 'typebox'
import type { Owner as Row } from '../db/tables.ts'
import { unchangeableOf } from '../http/messages.ts'
import { Page, pageQuery } from '../http/pages.ts'
import { DateTime, IdentitySource, nullable, Subject } from '../http/schemas.ts'
import type { OwnerChange as ParsedChange } from './owners.ts'
import { suspendedBy } from './suspension.ts'

const ExternalId = nullable.string({
  maxLength: 255,
  description: 'The identifier of the user in your directory.',
  examples: ['00u1ab2cd3'],
})

export const OwnerRecord = Type.Object(
  {
    organization: Type.String({ description: 'The key of the organization.', examples: ['default'] }),
    subject: Subject,
    email: nullable.string({ examples: ['ada@example.com'] }),
    identity_source: IdentitySource(),
    external_id: ExternalId,
    suspended_at: nullable.dateTime({ description: 'Since when all tokens of the owner are inactive.' }),
    suspended_by: Type.Array(Type.String(), {
      description:
        'The sources that suspend the owner: `administrator`, `scim` (inactive in the directory), `scim_deleted` (deleted ' +
        'from it), or `signals:` with the id of a trusted issuer and the name of its security event.',
      examples: [['scim']],
    }),
    created_at: DateTime(),
    updated_at: DateTime(),
  },
  { $id: 'OwnerRecord', description: 'A user who owns tokens of an organization.' },
)

export const OwnerChange = Type.Object(
  {
    email: Type.Optional(nullable.string({ format: 'idn-email', maxLength: 320 })),
    identity_source: Type.Optional(IdentitySource({ description: 'It cannot be cleared.' })),
    external_id: Type.Optional(ExternalId),
  },
  {
    $id: 'OwnerChange',
    additionalProperties: false,
    description: 'Members that are left out keep their values; null or `""` clears a member.',
    ...unchangeableOf(OwnerRecord, { properties: { subject: Subject } }),
  },
)

export const OwnerPage = Page(OwnerRecord, 'OwnerPage')

export const OwnerQuery = Type.Object(
  {
    suspended: Type.Optional(Type.Boolean({ description: 'True: suspended owners. False: all others.' })),
    search: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 200,
        description:
          'Any part of the subject or the e-mail address, in any case. A page examines at most 10,000 owners, and can ' +
          'thus have few items or none although there are more: go on while `next_cursor` is not null.',
      }),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
)

export const components = [OwnerRecord, OwnerPage, OwnerChange]

export function parseOwnerChange(body: Static<typeof OwnerChange>): ParsedChange {
  const { email, identity_source, external_id } = body
  return {
    ...(email !== undefined && { email }),
    ...(identity_source !== undefined && { identitySource: identity_source }),
    ...(external_id !== undefined && { externalId: external_id }),
  }
}

export function presentOwner(row: Row & { organizationKey: string }): Static<typeof OwnerRecord> {
  return {
    organization: row.organizationKey,
    subject: row.subject,
    email: row.email,
    identity_source: row.identitySource,
    external_id: row.externalId,
    suspended_at: row.suspendedAt?.toISOString() ?? null,
    suspended_by: suspendedBy(row),
    created_at: row.createdAt.toISOString(),
    updated_at: row.updatedAt.toISOString(),
  }
}

import { v7 as uuid } from 'uuid'
import type { Origin } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { OwnerSource, TokenType } from '../db/tables.ts'
import { invalidValue } from '../errors.ts'
import { holdOrganization } from '../organizations/reach.ts'
import { managementType, platformId } from '../platform.ts'
import { holdTokenType } from '../token-types/token-types.ts'
import { grantOf } from './grant.ts'
import { generateSecret, type Secret } from './secret.ts'
import * as store from './store.ts'

export type Owner = { subject: string; email: string | null; source: OwnerSource }

export type NewToken = {
  name: string
  type: string
  comment: string | null
  /** Null: the token belongs to a service of the organization. */
  owner: Owner | null
  /** Undefined: the type's default scopes. */
  scopes: string[] | undefined
  /** Undefined: the type's audience. */
  audience: string[] | undefined
  metadata: Record<string, unknown>
  notBefore: Date | null
  expiresAt: Date | null
}

export const dayMs = 24 * 60 * 60 * 1000

/** Makes a token by the rules of its type; who may do so is for the caller of this to have asked. */
export async function issueToken(
  tx: Db,
  origin: Origin,
  organizationId: string,
  input: NewToken,
  given?: Secret,
): Promise<{ token: store.Token; secret: Secret }> {
  const organization = await holdOrganization(tx, organizationId)
  const type = await holdTokenType(tx, input.type)
  const scopes = [...new Set(input.scopes ?? type.defaultScopes)]
  refuseForeignScopes(type, scopes)
  if (type.name === managementType) refuseMisplacedPermissions(organizationId, input.owner, scopes)
  refuseShortLife(input, origin.now)

  const secret =
    given ?? generateSecret(type.carriesOrganization ? `${type.prefix}_${organization.key}` : type.prefix)
  const id = uuid()
  const { name, comment, owner, metadata, notBefore, expiresAt } = input
  await store.insertToken(
    tx,
    {
      organizationId,
      id,
      type: type.name,
      name,
      comment,
      ownerSubject: owner?.subject ?? null,
      ownerEmail: owner?.email ?? null,
      ownerSource: owner?.source ?? null,
      scopes,
      audience: input.audience ?? type.audience,
      metadata: JSON.stringify(metadata),
      notBefore,
      expiresAt,
      createdAt: origin.now,
      createdBy: JSON.stringify(origin.actor),
      updatedAt: origin.now,
    },
    { hash: secret.hash(), hint: secret.hint() },
  )
  const token = await store.findToken(tx, { organizationId, id })
  if (!token) throw new Error('a token just inserted cannot be found')
  await record(tx, origin, {
    organizationId,
    action: 'token.created',
    target: { type: 'token', id, name },
    changes: { before: {}, after: grantOf(token) },
  })
  return { token, secret }
}

function refuseForeignScopes({ name, allowedScopes }: TokenType, scopes: string[]): void {
  const foreign = allowedScopes && scopes.find((scope) => !allowedScopes.includes(scope))
  if (foreign) throw invalidValue('scopes', `has ${foreign}, which tokens of the type ${name} cannot have`)
}

function refuseMisplacedPermissions(organizationId: string, owner: Owner | null, scopes: string[]): void {
  if (scopes.length === 0) throw invalidValue('scopes', 'must name at least one permission')
  if (scopes.includes('platform:admin') && organizationId !== platformId) {
    throw invalidValue(
      'scopes',
      'has platform:admin, which only tokens of the platform organization can have',
    )
  }
  if (scopes.includes('tokens:own') && !owner) {
    throw invalidValue('owner', 'is needed by tokens:own, which reaches the tokens of that owner')
  }
}

function refuseShortLife({ notBefore, expiresAt }: NewToken, now: Date): void {
  if (!expiresAt) return
  if (expiresAt.getTime() - now.getTime() < dayMs)
    throw invalidValue('expires_at', 'must be at least one day ahead')
  if (notBefore && notBefore >= expiresAt) throw invalidValue('not_before', 'must be before expires_at')
}

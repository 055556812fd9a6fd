import { type Caller, type Origin, requirePermission } from '../access/caller.ts'
import { type Action, record } from '../audit/audit.ts'
import { differences } from '../audit/changes.ts'
import type { Db } from '../db/database.ts'
import type { Changes, TokenFormat, TokenType } from '../db/tables.ts'
import { type Signing, sealingKey } from '../keys/signing.ts'
import { AppError, invalidValue, listed } from '../shared/errors.ts'
import { managementType, platformId } from '../shared/platform.ts'
import { type ExpectedVersions, refuseStale } from '../shared/preconditions.ts'
import { suspension } from '../shared/suspension.ts'
import * as store from './store.ts'

/** The changeable members of a type; existing tokens keep their scopes and audience. */
export type TokenTypeChange = Partial<
  Pick<
    TokenType,
    | 'description'
    | 'allowedScopes'
    | 'defaultScopes'
    | 'scopesRequired'
    | 'audience'
    | 'endpoint'
    | 'statusList'
    | 'selfRotation'
  >
>

export const tokenFormats = ['opaque', 'jwt'] as const satisfies TokenFormat[]

/** Name, format, prefix and shape of the secret can never change: issued secrets contain them. */
export type NewTokenType = TokenTypeChange & {
  name: string
  format: TokenFormat
  prefix?: string | undefined
  carriesOrganization?: boolean | undefined
}

export async function createTokenType(
  db: Db,
  caller: Caller,
  signing: Signing,
  input: NewTokenType,
): Promise<TokenType> {
  requirePermission(caller, 'platform:admin')
  if (input.format === 'jwt') sealingKey(signing)
  return db.transaction().execute((tx) => addTokenType(tx, caller, input))
}

/** Without a permission check: for `createTokenType` and the first start. */
export async function addTokenType(tx: Db, origin: Origin, input: NewTokenType): Promise<TokenType> {
  const values = {
    name: input.name,
    description: input.description ?? null,
    format: input.format,
    ...labelOf(input),
    allowedScopes: input.allowedScopes ?? null,
    defaultScopes: input.defaultScopes ?? [],
    scopesRequired: input.scopesRequired ?? false,
    audience: input.audience ?? [],
    endpoint: input.endpoint ?? null,
    statusList: input.statusList ?? false,
    selfRotation: input.selfRotation ?? false,
    createdAt: origin.now,
    updatedAt: origin.now,
  }
  refuseForeignDefaults(values)
  refuseListedOpaque(values)
  const type = await store.insertTokenType(tx, values)
  if (!type) throw new AppError('already_exists', `The token type ${input.name} already exists.`)
  await log(tx, origin, 'token_type.created', type)
  return type
}

export async function listTokenTypes(db: Db): Promise<TokenType[]> {
  return store.selectTokenTypes(db)
}

/** Which of the names belong to no token type. */
export async function unknownTokenTypes(db: Db, names: string[]): Promise<string[]> {
  if (names.length === 0) return []
  const known = await store.selectTokenTypes(db)
  return names.filter((name) => !known.some((type) => type.name === name))
}

export async function getTokenType(db: Db, name: string): Promise<TokenType> {
  return (await store.findTokenType(db, name)) ?? notFound()
}

export async function updateTokenType(
  db: Db,
  caller: Caller,
  name: string,
  change: TokenTypeChange,
  expected: ExpectedVersions,
): Promise<TokenType> {
  return changing(db, caller, name, expected, async (tx, type) => {
    refuseForeignDefaults({ ...type, ...change })
    refuseListedOpaque({ ...type, ...change })
    const changes = differences(type, change)
    if (!changes) return type
    const changed = await store.updateTokenType(tx, type, { ...change, updatedAt: caller.now })
    await log(tx, caller, 'token_type.updated', changed, changes)
    return changed
  })
}

/** While it is suspended, none of its tokens is good and none can be created. */
export async function setTokenTypeSuspended(
  db: Db,
  caller: Caller,
  name: string,
  suspended: boolean,
): Promise<TokenType> {
  return changing(db, caller, name, undefined, async (tx, type) => {
    const change = suspension(type, suspended, caller.now)
    if (!change) return type
    const changed = await store.updateTokenType(tx, type, change)
    await log(tx, caller, suspended ? 'token_type.suspended' : 'token_type.resumed', changed)
    return changed
  })
}

/** A type can be deleted only once its last token, including expired and revoked ones, is deleted. */
export async function deleteTokenType(
  db: Db,
  caller: Caller,
  name: string,
  expected: ExpectedVersions,
): Promise<void> {
  await changing(db, caller, name, expected, async (tx, type) => {
    if (await store.hasTokens(tx, name))
      throw new AppError('in_use', `There are still tokens of the type ${name}.`)
    await log(tx, caller, 'token_type.deleted', type)
    await store.deleteTokenType(tx, name)
  })
}

async function changing<T>(
  db: Db,
  caller: Caller,
  name: string,
  expected: ExpectedVersions,
  change: (tx: Db, type: TokenType) => Promise<T>,
): Promise<T> {
  requirePermission(caller, 'platform:admin')
  if (name === managementType)
    throw new AppError('built_in', `The built-in token type ${name} cannot be changed.`)
  return db.transaction().execute(async (tx) => {
    const type = (await store.lockTokenType(tx, name)) ?? notFound()
    refuseStale(type, expected)
    return change(tx, type)
  })
}

/** The label in front of an opaque secret; a JWT carries the same facts in its claims. */
function labelOf({ format, prefix, carriesOrganization = false }: NewTokenType) {
  if (format === 'jwt') {
    if (prefix !== undefined) throw invalidValue('prefix', 'must be left out for JWTs, which have no prefix')
    if (carriesOrganization)
      throw invalidValue(
        'carries_organization',
        'must be left out for JWTs, whose claims contain the organization',
      )
    return { prefix: '', carriesOrganization }
  }
  if (prefix === undefined) throw invalidValue('prefix', 'is required')
  return { prefix, carriesOrganization }
}

function refuseForeignDefaults({
  allowedScopes,
  defaultScopes,
}: Pick<TokenType, 'allowedScopes' | 'defaultScopes'>) {
  const foreign = allowedScopes && defaultScopes.find((scope) => !allowedScopes.includes(scope))
  if (foreign)
    throw invalidValue('default_scopes', `has ${foreign}; the allowed scopes are ${listed(allowedScopes)}`)
}

/** An opaque token cannot carry a reference to its status. */
function refuseListedOpaque({ format, statusList }: Pick<TokenType, 'format' | 'statusList'>) {
  if (statusList && format !== 'jwt') throw invalidValue('status_list', 'is for JWTs only')
}

async function log(
  tx: Db,
  origin: Origin,
  action: Action,
  { name }: TokenType,
  changes?: Changes,
): Promise<void> {
  const target = { type: 'token_type', id: name, name } as const
  await record(tx, origin, { organizationId: platformId, action, target, ...(changes && { changes }) })
}

function notFound(): never {
  throw new AppError('not_found', 'There is no such token type.')
}

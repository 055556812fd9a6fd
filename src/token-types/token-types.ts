import { type Caller, holds, type Origin, requirePermission } from '../access/caller.ts'
import { grantOfToken, rejectEscalation } from '../access/escalation.ts'
import { record } from '../audit/audit.ts'
import { changeLocked, changeResource, suspension, update } from '../audit/change-resource.ts'
import type { Db } from '../db/database.ts'
import type { Organization, TokenFormat, TokenType } from '../db/tables.ts'
import { type Signing, sealingKey } from '../keys/signing.ts'
import { reachableOrganization } from '../organizations/lookup.ts'
import { AppError, invalidValue, listed } from '../shared/errors.ts'
import { managementType, platformId } from '../shared/platform.ts'
import type { ExpectedVersions } from '../shared/preconditions.ts'
import * as store from './store.ts'

/** The changeable members of a type; existing tokens keep their scopes and audience. */
export type TokenTypeChange = Partial<
  Pick<
    TokenType,
    | 'description'
    | 'allowedScopes'
    | 'defaultScopes'
    | 'scopesRequired'
    | 'scopeDetails'
    | 'audience'
    | 'endpoint'
    | 'statusList'
    | 'selfRotation'
  >
>

export const tokenFormats = ['opaque', 'jwt'] as const satisfies TokenFormat[]

type TokenTypeValues = Parameters<typeof store.updateTokenType>[3]

/** Name, format, prefix and shape of the secret can never change: issued secrets contain them. */
export type NewTokenType = TokenTypeChange & {
  name: string
  format: TokenFormat
  prefix?: string | undefined
  carriesOrganization?: boolean | undefined
}

/** A type, with the key of its organization; null: it is the platform's. */
export type TokenTypeOf = TokenType & { organizationKey: string | null }

/** Of an organization by its key or id, or of the platform. */
type Named = { organization: string | undefined; name: string }

type Place = store.Home & { organizationKey: string | null }

const platform: Place = { organizationId: null, organizationKey: null }

export async function createTokenType(
  db: Db,
  caller: Caller,
  organization: string | undefined,
  { input, signing }: { input: NewTokenType; signing: Signing },
): Promise<TokenTypeOf> {
  const place = await changeablePlace(db, caller, organization)
  if (place.organizationId !== null && input.name === managementType) throw builtIn()
  if (input.format === 'jwt') sealingKey(signing)
  return db.transaction().execute(async (tx) => {
    const type = await addTokenType(tx, caller, input, place)
    await rejectWiderType(tx, caller, place, type)
    return { ...type, organizationKey: place.organizationKey }
  })
}

/** Without a permission check: for `createTokenType` and the first start. */
export async function addTokenType(
  tx: Db,
  origin: Origin,
  input: NewTokenType,
  place: Place = platform,
): Promise<TokenType> {
  const values = {
    name: input.name,
    description: input.description ?? null,
    format: input.format,
    ...labelOf(input),
    allowedScopes: input.allowedScopes ?? null,
    defaultScopes: input.defaultScopes ?? [],
    scopesRequired: input.scopesRequired ?? false,
    scopeDetails: input.scopeDetails ?? [],
    audience: input.audience ?? [],
    endpoint: input.endpoint ?? null,
    statusList: input.statusList ?? false,
    selfRotation: input.selfRotation ?? false,
    createdAt: origin.now,
    updatedAt: origin.now,
  }
  rejectForeignScopes(values)
  rejectListedOpaque(values)
  const type = await store.insertTokenType(tx, place, values)
  if (!type) throw new AppError('already_exists', `The token type ${input.name} already exists.`)
  await record(tx, origin, { action: 'token_type.created', ...loggedAs(place, type) })
  return type
}

/** The types of the platform, or all that an organization can use: its own, and the platform's other ones. */
export async function listTokenTypes(
  db: Db,
  caller: Caller,
  organization: string | undefined,
): Promise<TokenTypeOf[]> {
  return typesAt(db, await placeOf(db, caller, organization))
}

export async function usableTokenTypes(
  db: Db,
  { id, key }: Pick<Organization, 'id' | 'key'>,
): Promise<TokenTypeOf[]> {
  return typesAt(db, placeIn({ id, key }))
}

async function typesAt(db: Db, place: Place): Promise<TokenTypeOf[]> {
  const { organizationKey } = place
  const ofPlatform = (await store.selectTokenTypes(db, platform)).map((type) => ({
    ...type,
    organizationKey: null,
  }))
  if (organizationKey === null) return ofPlatform
  const own = (await store.selectTokenTypes(db, place)).map((type) => ({ ...type, organizationKey }))
  const names = new Set(own.map(({ name }) => name))
  return [...own, ...ofPlatform.filter(({ name }) => !names.has(name))].sort((a, b) =>
    a.name < b.name ? -1 : 1,
  )
}

/** The names that belong to no type that tokens seen from an organization can have: from the platform, any. */
export async function unknownTokenTypes(
  db: Db,
  organization: Pick<Organization, 'id' | 'key'>,
  names: string[],
): Promise<string[]> {
  if (names.length === 0) return []
  const usable = (await usableTokenTypes(db, organization)).map(({ name }) => name)
  const known =
    organization.id === platformId ? [...usable, ...(await store.selectOwnNames(db, names))] : usable
  return names.filter((name) => !known.includes(name))
}

/** The type of that name that applies there. */
export async function getTokenType(
  db: Db,
  caller: Caller,
  { organization, name }: Named,
): Promise<TokenTypeOf> {
  const place = await placeOf(db, caller, organization)
  for (const { organizationId, organizationKey } of [place, platform]) {
    const type = await store.findTokenType(db, { organizationId }, name)
    if (type) return { ...type, organizationKey }
  }
  return notFound()
}

export async function updateTokenType(
  db: Db,
  caller: Caller,
  named: Named,
  { expected, change }: { expected: ExpectedVersions; change: TokenTypeChange },
): Promise<TokenTypeOf> {
  const { place, ...changeable } = await changeableType(db, caller, named)
  const changed = await changeResource(db, caller, {
    ...changeable,
    expected,
    decide: async (type, tx) => {
      rejectForeignScopes({ ...type, ...change })
      rejectListedOpaque({ ...type, ...change })
      const decision = update('token_type.updated', type, change)
      if (decision) await rejectWiderType(tx, caller, place, { ...type, ...change })
      return decision
    },
  })
  return { ...changed, organizationKey: place.organizationKey }
}

/** While it is suspended, none of its tokens is good and none can be created. */
export async function setTokenTypeSuspended(
  db: Db,
  caller: Caller,
  named: Named,
  suspended: boolean,
): Promise<TokenTypeOf> {
  const { place, ...changeable } = await changeableType(db, caller, named)
  const changed = await changeResource(db, caller, {
    ...changeable,
    decide: async (type, tx) => {
      const decision = suspension('token_type', type, suspended ? caller.now : null)
      if (decision && !suspended) await rejectWiderType(tx, caller, place, type)
      return decision
    },
  })
  return { ...changed, organizationKey: place.organizationKey }
}

/** A type can be deleted only once its last token, including expired and revoked ones, is deleted. */
export async function deleteTokenType(
  db: Db,
  caller: Caller,
  named: Named,
  expected: ExpectedVersions,
): Promise<void> {
  const { place, lock, loggedAs } = await changeableType(db, caller, named)
  await changeLocked(db, { lock, expected }, async (tx, type) => {
    if (await store.hasTokens(tx, place, type.name))
      throw new AppError('in_use', `There are still tokens of the type ${type.name}.`)
    await record(tx, caller, { action: 'token_type.deleted', ...loggedAs(type) })
    await store.deleteTokenType(tx, place, type.name)
  })
}

async function changeableType(db: Db, caller: Caller, { organization, name }: Named) {
  const place = await changeablePlace(db, caller, organization)
  if (name === managementType) throw builtIn()
  return {
    place,
    lock: async (tx: Db) => (await store.lockTokenType(tx, place, name)) ?? notFound(),
    write: (tx: Db, type: TokenType, values: TokenTypeValues) =>
      store.updateTokenType(tx, place, type, values),
    loggedAs: (type: TokenType) => loggedAs(place, type),
  }
}

async function placeOf(db: Db, caller: Caller, organization: string | undefined): Promise<Place> {
  return organization === undefined
    ? platform
    : placeIn(await reachableOrganization(db, caller, organization))
}

/** The platform organization has the types of the platform. */
function placeIn({ id, key }: Pick<Organization, 'id' | 'key'>): Place {
  return id === platformId ? platform : { organizationId: id, organizationKey: key }
}

/** Types of the platform need platform:admin, those of an organization the permission that its policy needs. */
async function changeablePlace(db: Db, caller: Caller, organization: string | undefined): Promise<Place> {
  const place = await placeOf(db, caller, organization)
  requirePermission(caller, place.organizationId === null ? 'platform:admin' : 'policy:write')
  return place
}

/**
 * A type of an organization can give its tokens no scope that they could not have without it: those of the platform's
 * type of that name or, if there is none, of any type. Resource servers decide by type and scope, and the platform's
 * types are the limit for an organization. Nor can it give tokens more than the caller may reach.
 */
async function rejectWiderType(
  tx: Db,
  caller: Caller,
  { organizationId, organizationKey }: Place,
  { name, audience, allowedScopes }: TokenType,
): Promise<void> {
  if (organizationId === null || organizationKey === null) return
  const none = { scopes: [], narrowedTo: null, allowedCidrs: [] }
  rejectEscalation(caller, grantOfToken({ ...none, organizationId, organizationKey, type: name, audience }))
  if (holds(caller.principal, 'platform:admin')) return
  const types = (await store.selectTokenTypes(tx, platform)).filter((type) => type.name !== managementType)
  const namesake = types.filter((type) => type.name === name)
  const models = namesake.length > 0 ? namesake : types
  if (models.some((type) => type.allowedScopes === null)) return
  const allowed = models.flatMap((type) => type.allowedScopes ?? [])
  const beyond =
    allowedScopes === null ? 'any scope' : allowedScopes.find((scope) => !allowed.includes(scope))
  if (beyond !== undefined)
    throw new AppError(
      'insufficient_scope',
      `Allowing ${beyond} for tokens of the type ${name} needs the permission platform:admin; the platform's types allow ${listed(allowed)}.`,
      { scope: 'platform:admin' },
    )
}

/** The label in front of an opaque secret; the claims of a JWT have the same information. */
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

function rejectForeignScopes({
  allowedScopes,
  defaultScopes,
  scopeDetails,
}: Pick<TokenType, 'allowedScopes' | 'defaultScopes' | 'scopeDetails'>) {
  const detailed = scopeDetails.map(({ scope }) => scope)
  const twice = detailed.find((scope, index) => detailed.indexOf(scope) < index)
  if (twice !== undefined) throw invalidValue('scope_details', `has ${twice} twice`)
  if (allowedScopes === null) return
  for (const [member, scopes] of Object.entries({ default_scopes: defaultScopes, scope_details: detailed })) {
    const foreign = scopes.find((scope) => !allowedScopes.includes(scope))
    if (foreign !== undefined)
      throw invalidValue(member, `has ${foreign}; the allowed scopes are ${listed(allowedScopes)}`)
  }
}

/** An opaque token cannot carry a reference to its status. */
function rejectListedOpaque({ format, statusList }: Pick<TokenType, 'format' | 'statusList'>) {
  if (statusList && format !== 'jwt') throw invalidValue('status_list', 'is for JWTs only')
}

function loggedAs({ organizationId }: Place, { name }: TokenType) {
  const target = { type: 'token_type', id: name, name } as const
  return { organizationId: organizationId ?? platformId, target }
}

function builtIn(): AppError {
  return new AppError('built_in', `The built-in token type ${managementType} cannot be changed.`)
}

function notFound(): never {
  throw new AppError('not_found', 'There is no such token type.')
}

import { isDeepStrictEqual } from 'node:util'
import { type Caller, requirePermission } from '../access/caller.ts'
import { type GrantingToken, grantOfToken, rejectEscalation } from '../access/escalation.ts'
import { type Action, record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import type { ClientJwk, ClientKeys } from '../db/tables.ts'
import { reachableOrganization } from '../organizations/lookup.ts'
import type { Outbound } from '../outbound/outbound.ts'
import { AppError, invalidValue } from '../shared/errors.ts'
import { managementType } from '../shared/platform.ts'
import { tokenEvent } from '../tokens/audit-event.ts'
import { getToken, type Which } from '../tokens/find.ts'
import type { StaticSecret } from '../tokens/static-secret/static-secret.ts'
import { changing } from '../tokens/tokens.ts'
import { type GivenJwk, publicKeysOf, thumbprintsOf } from './public-keys.ts'
import * as store from './store.ts'

/** Either the keys themselves or their URL. */
export type GivenKeys = { jwks: GivenJwk[] | undefined; jwksUri: string | undefined }

/** The keys that a management token authenticates with instead of its secret. */
export async function getClientKeys(
  db: Db,
  caller: Caller,
  which: Which,
  staticSecret: StaticSecret | undefined,
): Promise<ClientKeys> {
  const token = await getToken(db, caller, which, staticSecret)
  return (await keysOf(db, token)) ?? noKeys()
}

/** Replaces the keys of the token. Its secret remains valid. */
export async function replaceClientKeys(
  db: Db,
  caller: Caller,
  which: Which,
  { given, outbound }: { given: GivenKeys; outbound: Outbound },
): Promise<ClientKeys> {
  const { jwks, jwksUri } = checked(given, outbound)
  return changingKeys(db, caller, which, async (tx, token, current) => {
    if (current && isDeepStrictEqual([current.jwks?.keys, current.jwksUri], [jwks, jwksUri])) return current
    const replaced = await store.upsertClientKeys(tx, {
      organizationId: token.organizationId,
      tokenId: token.id,
      jwks: jwks ? JSON.stringify({ keys: jwks }) : null,
      jwksUri: jwksUri ?? null,
      createdAt: caller.now,
      updatedAt: caller.now,
    })
    await log(tx, caller, token, { action: 'client_keys.replaced', before: current, after: replaced })
    return replaced
  })
}

export async function deleteClientKeys(db: Db, caller: Caller, which: Which): Promise<void> {
  await changingKeys(db, caller, which, async (tx, token, current) => {
    if (!current) throw noKeys()
    await store.deleteClientKeys(tx, current)
    await log(tx, caller, token, { action: 'client_keys.deleted', before: current })
  })
}

function checked({ jwks, jwksUri }: GivenKeys, outbound: Outbound) {
  if ((jwks === undefined) === (jwksUri === undefined))
    throw invalidValue('jwks', 'or jwks_uri is required, but not both')
  const flaw = jwksUri === undefined ? undefined : outbound.flawOf(jwksUri)
  if (flaw) throw invalidValue('jwks_uri', flaw)
  return { jwks: jwks && publicKeysOf(jwks), jwksUri: jwksUri ?? null }
}

type Token = GrantingToken & { id: string; name: string }

/**
 * The holder of a token's key can act as that token, so adding one requires all that the token holds. Removing keys
 * requires the same.
 */
async function changingKeys<T>(
  db: Db,
  caller: Caller,
  which: Which,
  change: (tx: Db, token: Token, current: ClientKeys | undefined) => Promise<T>,
): Promise<T> {
  await reachableOrganization(db, caller, which.organization)
  requirePermission(caller, 'tokens:write')
  return changing(db, caller, which, async (tx, token) => {
    const current = await keysOf(tx, token)
    rejectEscalation(caller, grantOfToken(token))
    return change(tx, token, current)
  })
}

async function keysOf(db: Db, { organizationId, id, type }: Token): Promise<ClientKeys | undefined> {
  if (type !== managementType)
    throw new AppError('not_found', `Only tokens of the type ${managementType} have client keys.`)
  return store.findClientKeys(db, { organizationId, tokenId: id })
}

function noKeys(): never {
  throw new AppError('not_found', 'The token has no client keys.')
}

async function log(
  tx: Db,
  caller: Caller,
  token: Token,
  { action, before, after }: { action: Action; before?: ClientKeys | undefined; after?: ClientKeys },
): Promise<void> {
  const changes = { before: await described(before), after: await described(after) }
  await record(tx, caller, tokenEvent(action, token, changes))
}

async function described(keys: ClientKeys | undefined): Promise<Record<string, unknown>> {
  if (!keys) return {}
  if (keys.jwksUri !== null) return { jwks_uri: keys.jwksUri }
  return { thumbprints: await thumbprintsOf((keys.jwks?.keys ?? []) as ClientJwk[]) }
}

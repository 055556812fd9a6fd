import { type RawBuilder, sql } from 'kysely'
import { validate as isUuid } from 'uuid'
import type { Db } from '../../db/database.ts'
import { coalesce } from '../../db/group-commit.ts'
import { type KnownOwner, ownerByTokens, recordedOwner } from '../../db/known-owner.ts'
import { hasKey } from '../../db/organization-key.ts'
import { statement } from '../../db/statement.ts'
import type { Organization, TokenType } from '../../db/tables.ts'

const ofOrganization = ['id', 'key', 'suspendedAt', 'policy'] as const
const ofType = [
  'name',
  'prefix',
  'carriesOrganization',
  'format',
  'allowedScopes',
  'defaultScopes',
  'scopesRequired',
  'audience',
  'endpoint',
  'statusList',
  'selfRotation',
] as const satisfies (keyof TokenType)[]

/** Changes whenever the row changes, including changes made by hand. */
type Revised = { revision: string }
const revision = sql<string>`xmin::text`

type OrganizationRules = Pick<Organization, (typeof ofOrganization)[number]> & Revised
export type TypeRules = Pick<TokenType, (typeof ofType)[number]> &
  Revised & {
    isSuspended: boolean
    /** Whether it is the organization's own. */
    isOwn: boolean
  }

/** The rules for a new token: the organization with its policy, the type if one of that name exists, and the owner. */
export type IssuanceRules = {
  organization: OrganizationRules
  type: TypeRules | null
  owner: KnownOwner | null
}

type Row = OrganizationRules & Pick<IssuanceRules, 'type' | 'owner'>

const typeAsJson = (isOwn: boolean): RawBuilder<TypeRules> => sql`json_build_object(
  'isOwn', ${sql.lit(isOwn)}, 'isSuspended', suspended_at is not null, 'revision', ${revision}, ${sql.join(ofType.flatMap((name) => [sql.lit(name), sql.ref(name)]))})`

function selectRules(column: 'key' | 'id', { held }: { held: boolean }) {
  return statement<Asked, Row>(`rules-by-${column}${held ? '-held' : ''}`, (builder, parameter) =>
    builder
      .selectFrom('organizations')
      .select(ofOrganization)
      .select(revision.as('revision'))
      .select((from) => {
        const own = from
          .selectFrom('organizationTokenTypes')
          .select(typeAsJson(true).as('json'))
          .whereRef('organizationId', '=', 'organizations.id')
          .where('name', '=', parameter('type'))
          .where(sql<boolean>`${parameter('ownType')}::boolean is not false`)
          .$if(held, (query) => query.forShare())
        const ofPlatform = from
          .selectFrom('tokenTypes')
          .select(typeAsJson(false).as('json'))
          .where('name', '=', parameter('type'))
          .where(sql<boolean>`${parameter('ownType')}::boolean is not true`)
          .$if(held, (query) => query.forShare())
        return from.fn.coalesce(own, ofPlatform).as('type')
      })
      .select(recordedOwner(sql.ref('organizations.id'), sql`${parameter('owner')}`).as('owner'))
      .where((where) =>
        column === 'id'
          ? where('id', '=', parameter('organization'))
          : hasKey(sql`${parameter('organization')}`),
      )
      .$if(held, (query) => query.forShare())
      .compile(),
  )
}

const byKey = selectRules('key', { held: false })
const byId = selectRules('id', { held: false })
const byIdHeld = selectRules('id', { held: true })

/** The organization by its key or id, the owner by their subject. */
type Asked = {
  organization: string
  type: string
  /** Whether the type is the organization's own. Null: a type of its own takes precedence over one of the platform. */
  ownType: boolean | null
  owner: string | null
}

async function select(db: Db, asked: Asked): Promise<IssuanceRules | undefined> {
  const rows = isUuid(asked.organization) ? await byId(db, asked) : []
  return rulesIn(db, asked, rows.length > 0 ? rows : await byKey(db, asked))
}

const find = coalesce<Asked, IssuanceRules | null>({
  async all(db, asked) {
    const found = new Map<string, Promise<IssuanceRules | undefined>>()
    const once = (one: Asked) => {
      const key = JSON.stringify([one.organization, one.type, one.ownType, one.owner])
      const rules = found.get(key) ?? select(db, one)
      found.set(key, rules)
      return rules
    }
    return Promise.all(asked.map(async (one) => (await once(one)) ?? null))
  },
  one: select,
})

export async function findRules(db: Db, asked: Asked): Promise<IssuanceRules | undefined> {
  return (await find(db, asked)) ?? undefined
}

/** Keeps organization and type unchanged until the end of the transaction; other transactions may do so at the same time. */
export async function holdRules(tx: Db, asked: Asked): Promise<IssuanceRules | undefined> {
  return rulesIn(tx, asked, await byIdHeld(tx, asked))
}

async function rulesIn(db: Db, { owner: subject }: Asked, [row]: Row[]): Promise<IssuanceRules | undefined> {
  if (!row) return undefined
  const { type, owner, ...organization } = row
  if (owner || subject === null) return { organization, type, owner }
  return { organization, type, owner: await ownerByTokens(db, organization.id, subject) }
}

/** The revisions of the rules that were read, as columns of the rows that `rulesInForce` checks. */
export type Revisions = ReturnType<typeof revisionsOf>

export function revisionsOf(organization: Revised, type: Revised) {
  return { organization_revision: organization.revision, type_revision: type.revision }
}

/**
 * Common table expressions of a statement that stores `given.rows`: `in_force` has the ids of the rows whose
 * organization and type are still as they were read, and keeps these unchanged.
 */
export function rulesInForce(locked: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`
    made as materialized (
      select made.id, made.organization_id, made.organization_revision, made.type, made.own_type, made.type_revision
      from given, json_to_recordset(given.rows) as made (
        id uuid, organization_id uuid, organization_revision xid, type text, own_type boolean, type_revision xid
      )
    ), by_platform_type as (
      select made.id from made
      join organizations
        on organizations.id = made.organization_id and organizations.xmin = made.organization_revision
      join token_types on token_types.name = made.type and token_types.xmin = made.type_revision
      where not made.own_type
      for share of organizations, token_types ${locked}
    ), by_own_type as (
      select made.id from made
      join organizations
        on organizations.id = made.organization_id and organizations.xmin = made.organization_revision
      join organization_token_types as own on own.organization_id = made.organization_id
        and own.name = made.type and own.xmin = made.type_revision
      where made.own_type
      for share of organizations, own ${locked}
    ), in_force as (
      select id from by_platform_type union all select id from by_own_type
    )`
}

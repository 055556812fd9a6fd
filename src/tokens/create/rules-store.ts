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

/** What decides about a new token: the organization with its policy, the type if one of that name exists, and the owner. */
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
          .$if(held, (query) => query.forShare())
        const ofPlatform = from
          .selectFrom('tokenTypes')
          .select(typeAsJson(false).as('json'))
          .where('name', '=', parameter('type'))
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
type Asked = { organization: string; type: string; owner: string | null }

async function select(db: Db, asked: Asked): Promise<IssuanceRules | undefined> {
  const rows = isUuid(asked.organization) ? await byId(db, asked) : []
  return rulesIn(db, asked, rows.length > 0 ? rows : await byKey(db, asked))
}

const find = coalesce<Asked, IssuanceRules | null>({
  async all(db, asked) {
    const found = new Map<string, Promise<IssuanceRules | undefined>>()
    const once = (one: Asked) => {
      const key = JSON.stringify([one.organization, one.type, one.owner])
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

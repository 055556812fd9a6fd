import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import { managementType } from '../shared/platform.ts'
import type { PolicyDocument } from '../shared/policy.ts'

/** The rules that became stricter, with their new values; null for all others. */
export type Tightened = {
  maximumDays: number | null
  minimum: { seconds: number; rule: string } | null
  /** A token has to expire. */
  expiry: true | null
  minimumLength: number | null
  uniqueName: true | null
  activePerOwner: number | null
  activePerOrganization: number | null
  /** A token has to have a scope. */
  scopes: true | null
  noSsoUsers: true | null
  types: string[] | null
}

/** A token that the changed rules would reject today, and the rules that it breaks. */
export type Breach = { id: string; name: string; type: string; rules: string[] }

/** The first of them, and whether there are (or may be) more, since not every token was examined. */
export type Breaches = { tokens: Breach[]; more: boolean }

export const maxBreachesShown = 100

/** How many tokens are examined: bounds the cost in large organizations. */
const maxExamined = 100_000

export async function updatePolicy(
  tx: Db,
  organizationId: string,
  own: PolicyDocument,
  policyVersion: number,
): Promise<void> {
  await tx
    .updateTable('organizations')
    .set({ policy: JSON.stringify(own), policyVersion })
    .where('id', '=', organizationId)
    .execute()
}

/**
 * Examines unexpired and unrevoked tokens, those that expire first; returns breaches oldest first. Beyond a limit, the
 * newest tokens count as too many. A rule that is null is not checked.
 */
export async function selectBreaches(
  db: Db,
  organizationId: string,
  rules: Tightened,
  { now, most = maxExamined }: { now: Date; most?: number },
): Promise<Breaches> {
  if (Object.values(rules).every((rule) => rule === null)) return { tokens: [], more: false }
  // Ranking takes a sort, and comparing names a search, so they are done only if a rule needs them.
  const ofOwner =
    rules.activePerOwner === null ? sql`0` : sql`row_number() over (partition by owner_subject order by id)`
  const rank = rules.activePerOrganization === null ? sql`0` : sql`row_number() over (order by id)`
  const hasNamesake = rules.uniqueName
    ? sql`exists (
        select from tokens as other
        where other.organization_id = ${organizationId} and other.id <> live.id
          and hashtextextended(lower(normalize(other.name)), 0) = hashtextextended(lower(normalize(live.name)), 0)
          and lower(normalize(other.name)) = lower(normalize(live.name))
      )`
    : sql`false`
  const { rows } = await sql<Breach>`
    with live as materialized (
      select id, name, type, scopes, owner_subject, owner_source, created_at, expires_at
      from tokens
      where organization_id = ${organizationId} and revoked_at is null and coalesce(expires_at, 'infinity') > ${now}
      order by coalesce(expires_at, 'infinity'), id limit ${most}
    ), ranked as (
      select *, ${ofOwner} as rank_of_owner, ${rank} as rank from live
    ), judged as (
      select id, name, type, array_remove(array[
        case when expires_at - created_at > ${rules.maximumDays}::int * interval '24 hours'
          then 'lifetime.maximum_days' end,
        case when expires_at - created_at < ${rules.minimum?.seconds ?? null}::bigint * interval '1 second'
          then ${rules.minimum?.rule ?? null}::text end,
        case when expires_at is null and ${rules.expiry}::boolean then 'lifetime.allow_no_expiry' end,
        case when char_length(name) < ${rules.minimumLength}::int then 'name.minimum_length' end,
        case when ${hasNamesake} then 'name.unique' end,
        case when owner_subject is not null and rank_of_owner > ${rules.activePerOwner}::int
          then 'limits.active_per_owner' end,
        case when rank > ${rules.activePerOrganization}::int then 'limits.active_per_organization' end,
        case when cardinality(scopes) = 0 and ${rules.scopes}::boolean then 'scopes.required' end,
        case when owner_source = 'sso' and ${rules.noSsoUsers}::boolean then 'creation.sso_users' end,
        case when type <> all(${rules.types}::text[]) and type <> ${managementType} then 'allowed_types' end
      ], null) as rules
      from ranked as live
    )
    select id, name, type, rules from judged where cardinality(rules) > 0
    order by id limit ${maxBreachesShown + 1}`.execute(db)
  const more = rows.length > maxBreachesShown || (await isLarger(db, organizationId, now, most))
  return { tokens: rows.slice(0, maxBreachesShown), more }
}

/** Whether the organization has more than `most` active tokens. */
async function isLarger(db: Db, organizationId: string, now: Date, most: number): Promise<boolean> {
  const beyond = await db
    .selectFrom('tokens')
    .select('id')
    .where('organizationId', '=', organizationId)
    .where('revokedAt', 'is', null)
    .where(sql<boolean>`coalesce(expires_at, 'infinity') > ${now}`)
    .orderBy(sql`coalesce(expires_at, 'infinity')`)
    .orderBy('id')
    .offset(most)
    .limit(1)
    .executeTakeFirst()
  return beyond !== undefined
}

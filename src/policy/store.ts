import { sql } from 'kysely'
import type { Db } from '../db/database.ts'
import type { Policy, PolicyDocument } from './document.ts'

/** A token that the policy would refuse today, and the rules it breaks. */
export type Breach = { id: string; name: string; type: string; rules: string[] }

/** How many there are, and the first of them. */
export type Breaches = { count: number; tokens: Breach[] }

export const mostBreachesShown = 100

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

/** Tokens that are neither expired nor revoked, oldest first. Above a limit it is the newest that are too many. */
export async function selectBreaches(
  db: Db,
  organizationId: string,
  policy: Policy,
  now: Date,
): Promise<Breaches> {
  const { lifetime, name, limits, scopes, creation, allowed_types: types } = policy
  // A rank takes a sort of all tokens: only where a rule asks for it.
  const ranks = {
    namesakes: name.unique ? sql`count(*) over (partition by lower(name))` : sql`1`,
    placeOfOwner:
      limits.active_per_owner === null
        ? sql`0`
        : sql`row_number() over (partition by live, owner_subject order by id)`,
    place:
      limits.active_per_organization === null
        ? sql`0`
        : sql`row_number() over (partition by live order by id)`,
  }
  const { rows } = await sql<Breach & { total: number }>`
    with own as (
      select *, revoked_at is null and coalesce(expires_at, 'infinity') > ${now} as live
      from tokens where organization_id = ${organizationId}
    ), ranked as (
      select id, name, type, scopes, owner_subject, owner_source, created_at, expires_at, live,
        ${ranks.namesakes} as namesakes,
        ${ranks.placeOfOwner} as place_of_owner,
        ${ranks.place} as place
      from own
    ), judged as (
      select id, name, type, array_remove(array[
        case when expires_at - created_at > ${lifetime.maximum_days}::int * interval '24 hours'
          then 'lifetime.maximum_days' end,
        case when expires_at - created_at < ${lifetime.minimum_days}::int * interval '24 hours'
          then 'lifetime.minimum_days' end,
        case when expires_at is null and not ${lifetime.allow_no_expiry}::boolean
          then 'lifetime.allow_no_expiry' end,
        case when char_length(name) < ${name.minimum_length}::int then 'name.minimum_length' end,
        case when namesakes > 1 and ${name.unique}::boolean then 'name.unique' end,
        case when owner_subject is not null and place_of_owner > ${limits.active_per_owner}::int
          then 'limits.active_per_owner' end,
        case when place > ${limits.active_per_organization}::int then 'limits.active_per_organization' end,
        case when cardinality(scopes) = 0 and ${scopes.required}::boolean then 'scopes.required' end,
        case when owner_source = 'sso' and not ${creation.sso_users}::boolean then 'creation.sso_users' end,
        case when type <> all(${types}::text[]) then 'allowed_types' end
      ], null) as rules
      from ranked where live
    )
    select id, name, type, rules, (count(*) over ())::int as total
    from judged where cardinality(rules) > 0
    order by id limit ${mostBreachesShown}`.execute(db)
  return {
    count: rows[0]?.total ?? 0,
    tokens: rows.map(({ id, name, type, rules }) => ({ id, name, type, rules })),
  }
}

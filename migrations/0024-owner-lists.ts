import { type Kysely, sql } from 'kysely'

// Every owner of a token gets a record, so that a list of owners is complete. The facts are those of the newest token,
// and a token with the source `sso` takes precedence. An older version that still runs may create tokens for new owners
// without one: they get their record when a token is created for them again or their record is read.
const statements = [
  `insert into owners (organization_id, subject, email, identity_source, created_at, updated_at)
    select distinct on (organization_id, owner_subject)
        organization_id, owner_subject, owner_email, owner_source, now(), now()
      from tokens where owner_subject is not null
      order by organization_id, owner_subject, owner_source = 'sso' desc, id desc
    on conflict do nothing`,
  `create index owners_suspended on owners (organization_id, subject) where suspended_at is not null`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

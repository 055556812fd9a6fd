import { type Kysely, sql } from 'kysely'

// Users that an identity provider manages by SCIM. A user can have several owner records: one for each subject that the
// user has had. `suspended_by` lists the sources that suspend an owner; older versions write only `suspended_at`, so a
// suspension without a source is an administrator's, and sources without a suspension do not count.
const statements = [
  `create table directory_users (
    organization_id uuid not null references organizations on delete cascade,
    id uuid not null,
    user_name text not null,
    external_id text,
    active boolean not null,
    attributes jsonb not null,
    version integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, id)
  )`,
  `create unique index directory_users_user_name on directory_users (organization_id, lower(user_name))`,
  `create index directory_users_external_id on directory_users (organization_id, external_id)`,
  `alter table owners add column suspended_by text[] not null default '{}', add column directory_user_id uuid`,
  `create index owners_directory_user on owners (organization_id, directory_user_id)
    where directory_user_id is not null`,
  `update token_types set allowed_scopes = array_append(allowed_scopes, 'scim')
    where name = 'management' and not 'scim' = any(allowed_scopes)`,
]

export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of statements) await sql.raw(statement).execute(db)
}

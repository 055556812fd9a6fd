import { sql } from 'kysely'
import type { Db } from './database.ts'
import type { Tables } from './tables.ts'

const readAndWrite = ['select', 'insert', 'update', 'delete']

/** A record by table name: the compiler rejects a table that is missing here. */
const tables: Record<keyof Tables, string[]> = {
  organizations: readAndWrite,
  trustedIssuers: readAndWrite,
  owners: readAndWrite,
  directoryUsers: readAndWrite,
  signalStreams: readAndWrite,
  securityEvents: readAndWrite,
  tokenTypes: readAndWrite,
  organizationTokenTypes: readAndWrite,
  tokens: readAndWrite,
  tokenSecrets: readAndWrite,
  supersededSecrets: readAndWrite,
  deletedSecrets: readAndWrite,
  leakReports: readAndWrite,
  importedPrefixes: readAndWrite,
  secretUses: readAndWrite,
  tokenUses: readAndWrite,
  staticSecretUses: readAndWrite,
  activeCounts: readAndWrite,
  activeCountChanges: readAndWrite,
  // Append-only.
  auditEvents: ['select', 'insert'],
  idempotencyKeys: readAndWrite,
  installation: readAndWrite,
  signingKeys: readAndWrite,
  clientKeys: readAndWrite,
  clientAssertions: readAndWrite,
  statusLists: readAndWrite,
  statusListEntries: readAndWrite,
  revocations: readAndWrite,
  outbox: readAndWrite,
  webhooks: readAndWrite,
  deliveries: readAndWrite,
  noticePositions: readAndWrite,
  mails: readAndWrite,
  sessions: readAndWrite,
  signInLinks: readAndWrite,
  logQueue: readAndWrite,
  // Append-only.
  logLeaves: ['select', 'insert'],
  logNodes: ['select', 'insert'],
  logOrganizations: readAndWrite,
  logState: readAndWrite,
}

type Need = { kind: 'table' | 'sequence' | 'function'; name: string; privileges: string[] }

/** Triggers run with the privileges of the writing role, so the sequence and functions they use count too. */
const needs: Need[] = [
  ...Object.entries(tables).map(([table, privileges]): Need => {
    return {
      kind: 'table',
      name: table.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      privileges,
    }
  }),
  { kind: 'table', name: 'kysely_migration', privileges: ['select'] },
  { kind: 'sequence', name: 'revocation_positions', privileges: ['usage'] },
  ...['announce_secret(bytea)', 'note_revoked_secrets(uuid, uuid, text)'].map((name): Need => {
    return { kind: 'function', name, privileges: ['execute'] }
  }),
]

/**
 * The statements that grant the current role the privileges it lacks on the existing tables. None before the first
 * migration: tables with these names then belong to another application, and `migrate` rejects them.
 */
export async function missingGrants(db: Db): Promise<string[]> {
  // Without `usage` on the schema, PostgreSQL finds none of its names.
  const hidden = await sql<{ grant: string }>`
    select format('grant usage on schema %I to %I', nspname, current_user) as grant
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where relname = 'kysely_migration' and to_regclass('kysely_migration') is null
      and not has_schema_privilege(relnamespace, 'usage')`.execute(db)
  const lacking = await sql<{ grant: string }>`
    with need as (
      select kind, name, privilege, position
      from jsonb_to_recordset(${JSON.stringify(needs)}::jsonb) as needs (kind text, name text, privileges text[]),
        unnest(privileges) with ordinality as privileges (privilege, position)
    ), lacking as (
      select kind, name, string_agg(privilege, ', ' order by position) as privileges
      from need
      where to_regclass('kysely_migration') is not null and to_regclass('audit_events') is not null and not case kind
        when 'table' then has_table_privilege(to_regclass(name), privilege)
        when 'sequence' then has_sequence_privilege(to_regclass(name), privilege)
        else has_function_privilege(to_regprocedure(name), privilege)
      end
      group by kind, name
    )
    select format('grant %s on %s %s to %I', privileges, kind, string_agg(name, ', ' order by name), current_user) as grant
    from lacking group by kind, privileges order by kind desc, privileges`.execute(db)
  return [...hidden.rows, ...lacking.rows].map((row) => row.grant)
}

/** Grants the role of the second connection the privileges it lacks; the first one belongs to the tables' owner. */
export async function grantMissing(owner: Db, service: Db): Promise<void> {
  for (const grant of await missingGrants(service)) await sql.raw(grant).execute(owner)
}

/**
 * Identifies the server by when its postmaster started, to the microsecond. Null in recovery: a standby sees changes
 * late, and one that lost its primary never. As text, since the digits of a number depend on the session.
 */
export const server = `case when not pg_is_in_recovery() then extract(epoch from pg_postmaster_start_time())::text end`

/**
 * The timeline, in eight hexadecimal digits. A promoted standby starts a new one, from which the newest commits may be
 * missing, and so does a restored database, including one restored from a dump.
 */
export const timeline = `case when not pg_is_in_recovery() then (
  select lpad(upper(to_hex(hashtext(concat_ws('/', system_identifier, oid, left(pg_walfile_name(pg_current_wal_lsn()), 8))))), 8, '0')
  from pg_control_system(), pg_database where datname = current_database()
) end`

export type Origin = { server: string; timeline: string }

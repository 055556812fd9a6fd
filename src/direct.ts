import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { type Api, apiOver, ServiceUnreachableError } from './apply/api.ts'
import { compose } from './compose.ts'
import { type Config, publicUrl } from './config.ts'
import type { Db } from './db/database.ts'
import { readCursorKey } from './db/installation.ts'
import { pendingMigrations, rejectUnfit } from './db/migrate.ts'
import { grantMissing } from './db/privileges.ts'
import { asOwner, type Database, signingOf } from './open-database.ts'
import { prepare } from './prepare.ts'
import { ConfigError } from './shared/config-files.ts'

export type Direct = {
  api: Api
  close(): Promise<void>
}

/**
 * Lets a command make requests to the database without a running service. It prepares the database like a start of the
 * service, except for a dry run, which needs one that is prepared.
 */
export async function openDirectly(
  database: Database,
  config: Config,
  { command, dryRun, log }: { command: string; dryRun: boolean; log: Logger },
): Promise<Direct> {
  const signing = await signingOf(database, config)
  if (dryRun) await asOwner(database, (owner) => rejectUnprepared(owner, database))
  else await prepare(database, config, signing)
  const { db, url: databaseUrl } = database
  const { app, close } = await compose({
    ...config,
    command,
    console: false,
    db,
    databaseUrl,
    // Requests need no credentials, so none are looked up or cached, and no background work runs. Errors of requests
    // are in their responses.
    verifier: { cacheSize: 0 },
    every: () => () => {},
    onError() {},
    log,
    outbound: { allow: config.outboundAllow },
    signing,
    now: () => new Date(),
    issuer: publicUrl(config),
    cursorKey: await readCursorKey(db),
  })
  const api = apiOver(async (path, { method, headers, body }) => {
    const response = await app.inject({
      method: method as 'GET',
      url: path,
      headers,
      ...(body !== undefined && { body }),
    })
    if (response.statusCode === 503) throw new ServiceUnreachableError(response.json().detail)
    return new Response(response.body || null, {
      status: response.statusCode,
      headers: { etag: response.headers.etag ?? '' },
    })
  })
  return {
    api,
    async close() {
      await app.close()
      await close()
    },
  }
}

async function rejectUnprepared(owner: Db, { embedded, db }: Database): Promise<void> {
  await rejectUnfit(owner)
  const pending = await pendingMigrations(owner)
  if (pending.length > 0)
    throw new ConfigError(
      `The database lacks ${pending.join(', ')}: run counterfoil migrate, or apply without --dry-run.`,
    )
  if (embedded) await grantMissing(owner, db)
}

/** A dry run must not create the embedded database. */
export function rejectMissingCluster({ databaseUrl, dataDir }: Config): void {
  if (databaseUrl === undefined && !existsSync(join(dataDir, 'postgres')))
    throw new ConfigError(
      `There is no database in ${dataDir}: set DATABASE_URL, or apply without --dry-run, which creates one.`,
    )
}

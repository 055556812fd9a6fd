import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import { deleteExpiredAssertions } from './client-keys/assertion.ts'
import { compose } from './compose.ts'
import { type Config, publicUrl } from './config.ts'
import { readCursorKey } from './db/installation.ts'
import { createDrain } from './http/drain.ts'
import type { Measuring } from './http/metrics.ts'
import { deleteExpiredAnswers } from './idempotency/idempotency.ts'
import { scheduleKeyMaintenance } from './keys/maintenance.ts'
import type { Signing } from './keys/signing.ts'
import { tidyMails } from './mail/tidy.ts'
import type { Database } from './open-database.ts'
import { deleteOldRevocations } from './revocations/revocations.ts'
import { deleteEndedSessions } from './sessions/sessions.ts'
import { ConfigError } from './shared/config-files.ts'
import { startInterval } from './shared/interval.ts'
import { tracing } from './shared/tracing.ts'
import type { Shutdown } from './shutdown.ts'
import { deleteOldSecurityEvents } from './signals/receive.ts'
import { keepActiveCounts } from './tokens/quota.ts'
import { deleteOldSuperseded } from './tokens/rotate/overlap.ts'
import { tidyWebhooks } from './webhooks/tidy.ts'

const hourMs = 60 * 60 * 1000

const wrongHost = 'set HOST to an address of this machine'
const listenAdvice: Record<string, string> = {
  EADDRINUSE: 'stop the other process that uses the port, or set another PORT',
  EACCES: 'set PORT to 1024 or above, or permit the process to use lower ones (CAP_NET_BIND_SERVICE)',
  EADDRNOTAVAIL: wrongHost,
  EAFNOSUPPORT: wrongHost,
  EINVAL: wrongHost,
  ENOTFOUND: wrongHost,
  EAI_AGAIN: wrongHost,
}

export type ServiceOptions = {
  config: Config
  database: Database
  signing: Signing
  log: Logger
  onError: (error: Error) => void
  measuring?: Measuring
  shutdown: Shutdown
}

/** Serves until shutdown, which lets requests finish and pending writes complete. */
export async function startService({
  config,
  database: { db, url: databaseUrl },
  onError,
  shutdown,
  ...options
}: ServiceOptions): Promise<void> {
  const { log, signing } = options
  const draining = new AbortController()
  const { app, endFeed, ...parts } = await compose({
    ...config,
    ...options,
    db,
    databaseUrl,
    onError,
    verifier: {
      cacheSize: config.cacheSize,
      listenUrl: config.listenUrl,
      durability: config.revocationDurability,
    },
    outbound: { allow: config.outboundAllow },
    draining: draining.signal,
    now: () => new Date(),
    issuer: publicUrl(config),
    cursorKey: await readCursorKey(db),
  })
  const drain = createDrain(app)
  const keyMaintenance = scheduleKeyMaintenance(db, signing, config.keyRotationDays, log)
  const stopCleanup = startInterval(hourMs, () => {
    deleteExpiredAnswers(db, new Date()).catch((err) =>
      log.warn({ err }, 'deleting expired idempotency answers failed'),
    )
    deleteExpiredAssertions(db, new Date()).catch((err) =>
      log.warn({ err }, 'deleting expired client assertions failed'),
    )
    deleteOldSuperseded(db, new Date()).catch((err) =>
      log.warn({ err }, 'deleting old superseded secrets failed'),
    )
    deleteOldSecurityEvents(db, new Date()).catch((err) =>
      log.warn({ err }, 'deleting old ids of security events failed'),
    )
    deleteEndedSessions(db, new Date()).catch((err) => log.warn({ err }, 'deleting ended sessions failed'))
    deleteOldRevocations(db, new Date()).catch((err) => log.warn({ err }, 'deleting old revocations failed'))
    keepActiveCounts(db, new Date()).catch((err) => log.warn({ err }, 'counting active tokens failed'))
    tidyMails(db, new Date()).catch((err) => log.warn({ err }, 'deleting old mails failed'))
    tidyWebhooks(db, new Date()).catch((err) => log.warn({ err }, 'deleting old deliveries failed'))
  })
  const close = async () => {
    stopCleanup()
    await drain()
    await parts.close()
    await keyMaintenance.stop()
  }
  try {
    await app.listen({ host: config.host, port: config.port })
  } catch (error) {
    await close()
    const { syscall, code = '', message } = error as NodeJS.ErrnoException
    if (!syscall) throw error
    const advice = listenAdvice[code] ?? 'set others'
    throw new ConfigError(`HOST and PORT cannot be listened on: ${message}; ${advice}.`)
  }
  if (tracing) shutdown.defer(tracing.flush)
  shutdown.defer(() => db.destroy())
  shutdown.defer(async () => {
    draining.abort()
    // Streams continue on another instance; new ones are rejected.
    void endFeed()
    if (shutdown.graceful) await delay(config.shutdownGraceMs)
    await close()
  })
}

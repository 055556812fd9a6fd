import { type AppOptions, buildApp } from './app.ts'
import {
  type CredentialVerifier,
  type CredentialVerifierOptions,
  createCredentialVerifier,
} from './credentials/credential-verifier.ts'
import { measureCredentials } from './credentials/metrics.ts'
import { createUsageRecorder, type UsageRecorder } from './credentials/usage-recorder.ts'
import { createDispatcher, type Dispatcher } from './dispatch/dispatcher.ts'
import { measureDispatch } from './dispatch/metrics.ts'
import { type Measuring, measureAlone } from './http/metrics.ts'
import { createIssuerKeys } from './issuers/sign-in.ts'
import { measureSigningKey } from './keys/metrics.ts'
import { createMailer, type MailerOptions } from './mail/transport.ts'
import { createOutbound, type OutboundOptions } from './outbound/outbound.ts'
import { createTail, type TailOptions } from './revocations/tail.ts'
import { type Interval, startInterval } from './shared/interval.ts'
import { createPoller, type Poller } from './signals/poll.ts'
import { measureExpiring } from './tokens/metrics.ts'
import { createRotations, type Rotations } from './tokens/rotate/rotations.ts'
import { staticSecretLookup } from './tokens/static-secret/static-secret.ts'
import { measureLog } from './transparency-log/metrics.ts'
import { originOf } from './transparency-log/origin.ts'
import { createSequencer, type Sequencer } from './transparency-log/sequencer.ts'

export type Composition = Omit<
  AppOptions,
  'pooled' | 'credentials' | 'usage' | 'tail' | 'outbound' | 'keysOf' | 'measuring'
> & {
  databaseUrl: string
  outbound: OutboundOptions
  onError: (error: Error) => void
  /** Undefined: no mail is sent. */
  mail?: MailerOptions | undefined
  measuring?: Measuring
  verifier: Pick<CredentialVerifierOptions, 'cacheSize'> & Partial<CredentialVerifierOptions>
  feed?: Partial<TailOptions>
  /** The interval of background work. */
  every?: Interval
  /** The interval for writing uses, finishing rotations, delivering events and signing the log, if it differs. */
  flushEvery?: Interval
}

export type Composed = {
  app: Awaited<ReturnType<typeof buildApp>>
  credentials: CredentialVerifier
  usage: UsageRecorder
  rotations: Rotations
  dispatcher: Dispatcher
  sequencer: Sequencer
  signals: Poller
  /** Rejects new readers of the revocation feed and ends the current ones. */
  endFeed(): Promise<void>
  /** Writes pending data and closes the connections of the parts. Close the app first. */
  close(): Promise<void>
}

/** The only place that puts the parts together: for the service, for the OpenAPI document and for the tests. */
export async function compose({
  databaseUrl,
  outbound: outboundOptions,
  onError,
  verifier,
  feed,
  mail,
  measuring = measureAlone(),
  every = startInterval,
  flushEvery = every,
  ...options
}: Composition): Promise<Composed> {
  const { db, log, staticSecret } = options
  const pooled = verifier.listenUrl !== undefined
  const tail = createTail({
    databaseUrl,
    prepares: !pooled,
    every,
    doubt: (server) => credentials.doubtNow(server),
    onError,
    ...feed,
  })
  const rotations = createRotations(db, {
    now: options.now,
    every: flushEvery,
    onError,
    forget: (hash) => credentials.forget(hash),
  })
  const credentials = createCredentialVerifier({
    databaseUrl,
    staticSecret: staticSecret && staticSecretLookup(db, staticSecret),
    every,
    onError,
    onLease: (holds, reason) =>
      holds
        ? log.info('cache lease acquired; answering from memory')
        : log.warn({ reason }, 'cache lease lost; reading through to the database'),
    onTimeline: (before, now) =>
      log.warn(
        { before, now },
        'the database continues on another timeline: acknowledged changes may be missing, and readers of the revocation feed start again',
      ),
    ...measureCredentials(measuring.registry),
    onChange: tail.wake,
    activate: rotations.activate,
    onEnded: rotations.presented,
    ...verifier,
  })
  const usage = createUsageRecorder(db, { onError, every: flushEvery })
  const { now, signing } = options
  const outbound = createOutbound(outboundOptions)
  const keysOf = createIssuerKeys(outbound)
  const signals = createPoller(db, {
    outbound,
    keysOf,
    masterKeys: signing.masterKeys,
    now,
    every: flushEvery,
    onError,
  })
  const dispatcher = createDispatcher(db, {
    outbound,
    signing,
    now,
    log,
    onError,
    metrics: measureDispatch(measuring.registry),
    every: flushEvery,
    mail: mail && { mailer: await createMailer(mail), url: options.issuer },
  })
  const sequencer = createSequencer(db, {
    origin: originOf(options.issuer),
    signing,
    now,
    log,
    onError,
    every: flushEvery,
  })
  const measureStored = [measureExpiring, measureSigningKey, measureLog].map((measure) =>
    measure(measuring.registry, db),
  )
  const stopMeasuring = flushEvery(60_000, () => {
    for (const measure of measureStored) measure(options.now()).catch(onError)
  })
  const app = await buildApp({ ...options, measuring, pooled, credentials, usage, tail, outbound, keysOf })
  return {
    app,
    credentials,
    usage,
    rotations,
    dispatcher,
    sequencer,
    signals,
    endFeed: tail.close,
    async close() {
      stopMeasuring()
      await tail.close()
      await sequencer.close()
      await dispatcher.close()
      await usage.close()
      await rotations.close()
      await signals.close()
      await credentials.close()
    },
  }
}

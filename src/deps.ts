import type { CredentialVerifier } from './credentials/credential-verifier.ts'
import type { UsageRecorder } from './credentials/usage-recorder.ts'
import type { Db } from './db/database.ts'
import type { Signing } from './keys/signing.ts'
import type { Outbound } from './outbound/outbound.ts'
import type { Tail } from './revocations/tail.ts'
import type { StaticSecret } from './tokens/static-secret/static-secret.ts'

/** What routes are given: the outside world, so that tests can give another. */
export type Deps = {
  db: Db
  /** The database is behind a pooler, which runs each transaction in another session. */
  pooled?: boolean
  credentials: CredentialVerifier
  usage: UsageRecorder
  /** Where revocations are followed. */
  tail: Tail
  now: () => Date
  issuer: string
  signing: Signing
  /** What cursors are signed with. */
  cursorKey: Buffer
  environment: StaticSecret | undefined
  outbound: Outbound
}

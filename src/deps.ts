import type { CredentialVerifier } from './credentials/credential-verifier.ts'
import type { UsageRecorder } from './credentials/usage-recorder.ts'
import type { Db } from './db/database.ts'
import type { Signing } from './keys/signing.ts'
import type { Outbound } from './outbound/outbound.ts'
import type { Tail } from './revocations/tail.ts'
import type { StaticSecret } from './tokens/static-secret/static-secret.ts'

/** What routes depend on, passed in so that tests can replace it. */
export type Deps = {
  db: Db
  /** The database is behind a pooler that gives each transaction another session. */
  pooled?: boolean
  credentials: CredentialVerifier
  usage: UsageRecorder
  /** The followers of the revocation feed. */
  tail: Tail
  now: () => Date
  issuer: string
  signing: Signing
  /** The key that signs cursors. */
  cursorKey: Buffer
  staticSecret: StaticSecret | undefined
  outbound: Outbound
}

import type { CredentialVerifier } from '../credentials/credential-verifier.ts'
import type { UsageRecorder } from '../credentials/usage-recorder.ts'
import type { Db } from '../db/database.ts'
import type { Outbound } from '../outbound/outbound.ts'

/** The dependencies of routes, passed in so that tests can replace them. A feature that needs more extends the type. */
export type Deps = {
  db: Db
  /** The database is behind a pooler that gives each transaction another session. */
  pooled?: boolean
  credentials: CredentialVerifier
  usage: UsageRecorder
  now: () => Date
  issuer: string
  /** The key that signs cursors. */
  cursorKey: Buffer
  outbound: Outbound
}

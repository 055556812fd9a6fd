import type { Db } from './db/database.ts'
import type { Credentials } from './introspection/credentials.ts'
import type { Usage } from './introspection/usage.ts'
import type { Signing } from './keys/signing.ts'
import type { Outbound } from './outbound/outbound.ts'
import type { Tail } from './revocations/tail.ts'
import type { EnvironmentSecret } from './tokens/environment/environment.ts'

/** What routes are given: the outside world, so that tests can give another. */
export type Deps = {
  db: Db
  /** The database is behind a pooler, which runs each transaction in another session. */
  pooled?: boolean
  credentials: Credentials
  usage: Usage
  /** Where revocations are followed. */
  tail: Tail
  now: () => Date
  issuer: string
  signing: Signing
  /** What cursors are signed with. */
  cursorKey: Buffer
  environment: EnvironmentSecret | undefined
  outbound: Outbound
}

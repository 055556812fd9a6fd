import type { Db } from './db/database.ts'
import type { Signing } from './keys/signing.ts'

/** What routes are given: the outside world, so that tests can give another. */
export type Deps = { db: Db; now: () => Date; issuer: string; signing: Signing }

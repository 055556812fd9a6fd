import { v7 as uuid } from 'uuid'
import { type Caller, type Origin, reaches, requirePermission } from '../access/caller.ts'
import { record } from '../audit/audit.ts'
import type { Db } from '../db/database.ts'
import { holdOrganization, reachableOrganization } from '../organizations/lookup.ts'
import { AppError } from '../shared/errors.ts'
import { type HashText, hashText, type SecretHash } from '../shared/secret.ts'
import { tokenEvent } from '../tokens/audit-event.ts'
import type { Issuing } from '../tokens/create/mint.ts'
import { reactToLeak } from '../tokens/leaked.ts'
import * as store from './store.ts'

/** A secret that was found in public or another unexpected place. */
export type Leak = { hash: SecretHash; source: string; url: string | null }

/** The result of a report, and the secret, whose validity may have changed. */
export type Reported = { report: store.LeakReport; affected: HashText }

/**
 * Records a leak and reacts as the policy of the token's organization says. Undefined: the secret was never issued
 * here, was forgotten, or belongs to an organization that the caller does not reach.
 */
export async function reportLeak(
  db: Db,
  caller: Caller,
  leak: Leak,
  issuing: Issuing,
): Promise<Reported | undefined> {
  requirePermission(caller, 'leaks:report')
  const [known] = await store.findKnown(db, [leak.hash])
  if (!known || !reaches(caller.principal, known.organizationId)) return undefined
  return recordLeak(db, caller, known, { leak, issuing })
}

/** The same for many leaks, from a source that may report secrets of every organization; null for unknown secrets. */
export async function reportLeaks(
  db: Db,
  origin: Origin,
  leaks: Leak[],
  issuing: Issuing,
): Promise<(Reported | null)[]> {
  const hashes = leaks.map(({ hash }) => hash)
  const found = await store.findKnown(db, hashes)
  const known = new Map(found.map((one) => [hashText(one.hash), one]))
  const reported: (Reported | null)[] = []
  for (const leak of leaks) {
    const one = known.get(hashText(leak.hash))
    reported.push(one ? await recordLeak(db, origin, one, { leak, issuing }) : null)
  }
  return reported
}

async function recordLeak(
  db: Db,
  origin: Origin,
  known: store.KnownSecret,
  { leak: { source, url }, issuing }: { leak: Leak; issuing: Issuing },
): Promise<Reported> {
  const { organizationId, tokenId: id, tokenName: name, hash } = known
  return db.transaction().execute(async (tx) => {
    // Concurrent reports of one secret wait here.
    await holdOrganization(tx, organizationId)
    await store.lockReports(tx, known)
    // A secret may leak to many places, but only the first report has consequences.
    const isFirst = !(await store.wasReported(tx, known))
    const reaction = isFirst ? await reactToLeak(tx, origin, known, issuing) : 'none'
    const report = await store.upsertReport(tx, {
      id: uuid(),
      known,
      reaction,
      source,
      url,
      reportedBy: JSON.stringify(origin.actor),
      reportedAt: origin.now,
    })
    if (isFirst) {
      const after = { secret_id: known.secretId, hint: known.hint, secret_status: known.status, reaction }
      const changes = { before: {}, after: { leak_id: report.id, ...after, source, url } }
      await record(tx, origin, tokenEvent('token.leaked', { organizationId, id, name }, changes))
    }
    return { report, affected: hashText(hash) }
  })
}

type Asked = Parameters<typeof store.selectReports>[2]

export async function listLeaks(
  db: Db,
  caller: Caller,
  organization: string,
  asked: Asked,
): Promise<store.LeakReport[]> {
  return store.selectReports(db, await readableLeaks(db, caller, organization), asked)
}

export async function getLeak(
  db: Db,
  caller: Caller,
  organization: string,
  id: string,
): Promise<store.LeakReport> {
  const report = await store.findReport(db, await readableLeaks(db, caller, organization), id)
  if (!report) throw new AppError('not_found', 'There is no such leak report.')
  return report
}

async function readableLeaks(db: Db, caller: Caller, organization: string): Promise<string> {
  const { id } = await reachableOrganization(db, caller, organization)
  requirePermission(caller, 'tokens:read')
  return id
}

import type { Db } from '../db/database.ts'
import { retryAt } from '../shared/retry.ts'
import { composeMail } from './compose.ts'
import * as store from './store.ts'
import type { Mailer } from './transport.ts'
import { english } from './words.en.ts'

export type MailContext = {
  mailer: Mailer
  now: () => Date
  /** The URL of this service, for links in mails. */
  url: string
  log: { warn(facts: object, message: string): void }
  metrics: { mailed(outcome: 'sent' | 'postponed' | 'failed', mails: number): void }
}

const dayMs = 24 * 60 * 60 * 1000
const leaseMs = 5 * 60_000
const recipientsAtOnce = 20
/** How many mails a recipient gets in a day from an organization before the rest waits for a digest. */
const mostSingles = 3

/** Sent at once, not in tomorrow's digest. */
const urgent = ['token.leaked', 'token.superseded_secret_used', 'webhook.failing', 'webhook.disabled']

/** Sends the mails that are due. Returns whether there may be more. */
export async function sendDue(db: Db, context: MailContext, isEnding: () => boolean): Promise<boolean> {
  const now = context.now()
  const until = new Date(now.getTime() + leaseMs)
  const claimed = await store.claimMails(db, now, until, recipientsAtOnce)
  // One at a time: an SMTP server limits how many connections it accepts from one sender.
  for (const one of claimed) {
    // A server this slow would still be receiving a mail when the claim ends, so the rest is left to be claimed again.
    if (context.now().getTime() - now.getTime() > leaseMs / 2) break
    if (isEnding()) await store.settleMails(db, one, one.mails, {})
    else await sendTo(db, one, context)
  }
  return claimed.length === recipientsAtOnce
}

async function sendTo(db: Db, claimed: store.Claimed, context: MailContext): Promise<void> {
  const now = context.now()
  const { mails } = claimed
  const { singles, lastDigest } = await store.countSent(db, claimed, new Date(now.getTime() - dayMs))
  if (singles + mails.length <= mostSingles) {
    for (const mail of mails) await send(db, { ...claimed, mails: [mail] }, 'single', context)
  } else if (!lastDigest || mails.some(({ type }) => urgent.includes(type))) {
    await send(db, claimed, 'digest', context)
  } else {
    const nextAttemptAt = new Date(lastDigest.getTime() + dayMs)
    await store.settleMails(db, claimed, mails, { nextAttemptAt })
  }
}

async function send(
  db: Db,
  claimed: store.Claimed,
  as: 'single' | 'digest',
  { mailer, now, url, log, metrics }: MailContext,
): Promise<void> {
  const { mails } = claimed
  const [first] = mails
  if (!first) return
  const result = await mailer.send({
    to: claimed.recipient,
    // The same in every attempt, so that a mail that was sent twice can be recognized.
    id: `${first.eventId}.${mails.length}`,
    ...composeMail(mails, english, url),
  })
  const attempts = Math.max(...mails.map(({ attempts }) => attempts)) + 1
  if (result === 'sent') {
    metrics.mailed('sent', mails.length)
    const sent = { status: 'sent', sentAt: now(), digest: as === 'digest', attempts } as const
    return store.settleMails(db, claimed, mails, sent)
  }
  log.warn({ organization: claimed.organizationId, attempts, error: result.error }, 'sending a mail failed')
  const nextAttemptAt = result.permanent ? null : retryAt(attempts, now())
  metrics.mailed(nextAttemptAt ? 'postponed' : 'failed', mails.length)
  const outcome = nextAttemptAt ? { nextAttemptAt } : ({ status: 'failed' } as const)
  await store.settleMails(db, claimed, mails, { ...outcome, attempts })
}

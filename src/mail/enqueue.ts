import type { Db } from '../db/database.ts'
import type { Event } from '../events/events.ts'
import { effectivePolicy } from '../policy/effective.ts'
import { type MailedType, mailedTypes } from '../shared/event-types.ts'
import { insertMails, type NewMail, selectPolicies } from './store.ts'

/** Creates a mail for each recipient of each event: the owner of its token, and the recipients in the policy. */
export async function enqueueMails(tx: Db, events: Event[], now: Date): Promise<void> {
  const mailed = events.filter(({ type }) => isMailed(type))
  if (mailed.length === 0) return
  const policies = await selectPolicies(tx, [...new Set(mailed.map(({ organizationId }) => organizationId))])
  await insertMails(
    tx,
    mailed.flatMap((event) => mailsOf(event, effectivePolicy(policies.get(event.organizationId) ?? {}))),
    now,
  )
}

function mailsOf(event: Event, { notifications }: ReturnType<typeof effectivePolicy>): NewMail[] {
  const { eventId, organizationId, organization, occurredAt, token } = event
  const { name, actor: _, ...more } = event.data
  const type = event.type as MailedType
  const ownerEmail = notifications.mail_owners ? token?.ownerEmail : undefined
  const recipients = new Map(
    notifications.mail_to.map((address) => [address.toLowerCase(), { address, toOwner: false }]),
  )
  if (ownerEmail) recipients.set(ownerEmail.toLowerCase(), { address: ownerEmail, toOwner: true })
  return [...recipients.values()].map(({ address, toOwner }) => ({
    eventId,
    organizationId,
    recipient: address,
    type,
    occurredAt,
    data: {
      organization,
      toOwner,
      name: token?.name ?? String(name),
      token: token && {
        type: token.type,
        hint: token.hint,
        owner: token.owner,
        expiresAt: token.expiresAt?.toISOString() ?? null,
      },
      more,
    },
  }))
}

function isMailed(type: string): type is MailedType {
  return mailedTypes.some((one) => one === type)
}

import type { MailedType } from '../shared/event-types.ts'

type Instant = (at: Date) => string
type Notice = { subject: string; text: string }

/** The texts of a language. */
export type Words = {
  /** As in the attribute `lang` of HTML. */
  language: string
  instant: Instant
  labels: Record<
    'token' | 'organization' | 'type' | 'hint' | 'owner' | 'expires' | 'webhook' | 'happened',
    string
  >
  never: string
  notices: Record<MailedType, (name: string, data: Record<string, unknown>, instant: Instant) => Notice>
  digest: {
    subject(count: number, organization: string): string
    text(count: number): string
  }
  footer: {
    owner(organization: string): string
    recipient(organization: string): string
    sender(url: string): string
  }
}

import { createTransport } from 'nodemailer'
import type { Message } from './compose.ts'

export type Mailer = {
  send(mail: Message & { to: string; id: string }): Promise<'sent' | { error: string; permanent: boolean }>
  close(): void
}

export type MailerOptions = {
  /** `smtp:` or `smtps:`, with the credentials; the query has options of nodemailer. */
  url: string
  from: string
}

/** For the connection, for the greeting, and without any data. */
const timeoutMs = 20_000

/** Sends by SMTP. Addresses are passed as objects: a string would be parsed as a list of addresses. */
export function createMailer({ url, from }: MailerOptions): Mailer {
  const transport = createTransport({
    url,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return {
    async send({ to, id, subject, text, html }) {
      try {
        await transport.sendMail({
          ...{ from, subject, text, html },
          to: { name: '', address: to },
          messageId: `<${id}@counterfoil>`,
          // RFC 3834: keeps vacation responders from answering.
          headers: { 'Auto-Submitted': 'auto-generated' },
        })
        return 'sent'
      } catch (error) {
        const { code, responseCode } = error as { code?: string; responseCode?: number }
        // RFC 5321 §4.2.1. The message may contain the address, so only the codes are logged.
        const permanent = code === 'EENVELOPE' && responseCode !== undefined && responseCode >= 500
        return { error: [code, responseCode].filter(Boolean).join(' ') || 'failed', permanent }
      }
    },
    close: () => transport.close(),
  }
}

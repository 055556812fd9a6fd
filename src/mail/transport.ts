import { traced } from '../shared/tracing.ts'
import type { Message } from './compose.ts'

export type Mailer = {
  /** Connects and authenticates without sending anything; the reason if that fails. */
  verify(): Promise<string | undefined>
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
export async function createMailer({ url, from }: MailerOptions): Promise<Mailer> {
  // Imported only if mail is configured, since other starts are then faster.
  const { createTransport } = await import('nodemailer')
  const transport = createTransport({
    url,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  const server = { 'server.address': new URL(url).hostname }
  return {
    async verify() {
      try {
        await transport.verify()
        return undefined
      } catch (error) {
        return codesOf(error)
      }
    },
    async send({ to, id, subject, text, html }) {
      try {
        const mail = {
          from,
          subject,
          text,
          html,
          to: { name: '', address: to },
          messageId: `<${id}@counterfoil>`,
          // RFC 3834: keeps vacation responders from answering.
          headers: { 'Auto-Submitted': 'auto-generated' },
        }
        await traced('send mail', { kind: 'client', attributes: server }, () => transport.sendMail(mail))
        return 'sent'
      } catch (error) {
        const { code, responseCode } = error as SmtpError
        // RFC 5321 §4.2.1
        const permanent = code === 'EENVELOPE' && responseCode !== undefined && responseCode >= 500
        return { error: codesOf(error), permanent }
      }
    },
    close: () => transport.close(),
  }
}

type SmtpError = { code?: string; responseCode?: number }

/** The message may contain the address or the credentials, so only the codes are logged. */
function codesOf(error: unknown): string {
  const { code, responseCode } = error as SmtpError
  return [code, responseCode].filter(Boolean).join(' ') || 'failed'
}

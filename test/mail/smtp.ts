import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'
import type { Test } from 'tap'

export type Mail = {
  from: string
  to: string[]
  source: string
  headers: Map<string, string>
  text: string
  html: string
}

type Refusal = { code: number; text: string } | undefined

/** An SMTP server that records what it accepts. `refuse` gives the reply for a recipient that it does not accept. */
export async function startSmtp(t: Test, refuse?: (to: string) => Refusal | Promise<Refusal>) {
  const mails: Mail[] = []
  const server = new SMTPServer({
    disabledCommands: ['STARTTLS'],
    authOptional: true,
    onAuth: ({ username, password }, _session, done) =>
      username === 'counterfoil' && password === 'smtp-password'
        ? done(null, { user: username })
        : done(new Error('Invalid login')),
    async onRcptTo({ address }, _session, done) {
      const refusal = await refuse?.(address)
      if (!refusal) return done()
      done(Object.assign(new Error(refusal.text), { responseCode: refusal.code }))
    },
    onData(stream, { envelope }, done) {
      let source = ''
      stream.setEncoding('utf8').on('data', (chunk) => {
        source += chunk
      })
      stream.on('end', () => {
        const from = envelope.mailFrom ? envelope.mailFrom.address : ''
        mails.push({ from, to: envelope.rcptTo.map(({ address }) => address), source, ...parse(source) })
        done()
      })
    },
  })
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  t.teardown(() => new Promise<void>((resolve) => server.close(() => resolve())))
  const { port } = server.server.address() as AddressInfo
  return { url: `smtp://127.0.0.1:${port}`, port, mails }
}

/** Header fields, unfolded and decoded, and the two alternative parts. */
function parse(source: string): Pick<Mail, 'headers' | 'text' | 'html'> {
  const [head = '', body = ''] = split(source)
  const headers = fields(head)
  const boundary = /boundary="?([^";]+)/.exec(headers.get('content-type') ?? '')?.[1] ?? ''
  const parts = body.split(`--${boundary}`).map((part) => split(part.replace(/^\r\n/, '')))
  const of = (type: string) => {
    const [partHead = '', content = ''] = parts.find(([head]) => head?.includes(type)) ?? []
    return decode(content, fields(partHead).get('content-transfer-encoding') ?? '')
  }
  return { headers, text: of('text/plain'), html: of('text/html') }
}

function split(text: string): [string, string] {
  const at = text.indexOf('\r\n\r\n')
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 4)]
}

function fields(head: string): Map<string, string> {
  const lines = head.replace(/\r\n[ \t]+/g, ' ').split('\r\n')
  return new Map(
    lines.map((line) => {
      const at = line.indexOf(':')
      return [line.slice(0, at).toLowerCase(), words(line.slice(at + 1).trim())]
    }),
  )
}

/** RFC 2047 encoded words. */
function words(value: string): string {
  return value
    .replace(/\?=\s+=\?/g, '?==?')
    .replace(/=\?utf-8\?([bq])\?([^?]*)\?=/gi, (_all, kind: string, text: string) =>
      kind.toLowerCase() === 'b'
        ? Buffer.from(text, 'base64').toString()
        : decode(text.replaceAll('_', ' '), 'quoted-printable'),
    )
}

function decode(content: string, encoding: string): string {
  if (encoding === 'base64') return Buffer.from(content, 'base64').toString()
  if (encoding !== 'quoted-printable') return content
  const bytes = content
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString()
}

import type { MailedEvent } from './store.ts'
import type { Words } from './words.ts'

export type Message = { subject: string; text: string; html: string }

type Section = { heading: string; text: string; facts: [label: string, value: string][] }

/** One mail about one event or, as a digest, about several of an organization. */
export function composeMail(events: MailedEvent[], words: Words, url: string): Message {
  const sections = events.map((event) => sectionOf(event, words))
  const [first] = events
  const { organization, toOwner } = (first as MailedEvent).data
  const isDigest = events.length > 1
  const subject = isDigest
    ? words.digest.subject(events.length, inert(organization))
    : (sections[0]?.heading ?? '')
  const because = toOwner && !isDigest ? words.footer.owner : words.footer.recipient
  const footer = [because(inert(organization)), words.footer.sender(inert(url))]
  const intro = isDigest ? [words.digest.text(events.length)] : []
  return {
    subject: oneLine(subject),
    text: asText(intro, sections, footer),
    html: asHtml({ subject, intro, sections, footer, language: words.language }),
  }
}

function sectionOf({ type, data, occurredAt }: MailedEvent, words: Words): Section {
  const { labels, instant } = words
  const name = inert(shortened(data.name))
  const { subject, text } = words.notices[type](name, data.more, instant)
  const { token } = data
  const optional = (label: string, value: string | null | undefined): Section['facts'] =>
    value ? [[label, inert(shortened(value))]] : []
  return {
    heading: subject,
    text,
    facts: [
      [token ? labels.token : labels.webhook, name],
      ...optional(labels.organization, data.organization),
      ...optional(labels.type, token?.type),
      ...optional(labels.hint, token?.hint),
      ...optional(labels.owner, token?.owner),
      ...(token
        ? [
            [labels.expires, token.expiresAt ? instant(new Date(token.expiresAt)) : words.never] as [
              string,
              string,
            ],
          ]
        : []),
      [labels.happened, instant(occurredAt)],
    ],
  }
}

function asText(intro: string[], sections: Section[], footer: string[]): string {
  const parts = sections.map(({ heading, text, facts }) => {
    const width = Math.max(...facts.map(([label]) => label.length)) + 2
    return [heading, text, facts.map(([label, value]) => `${`${label}:`.padEnd(width)}${value}`).join('\n')]
  })
  return `${[...intro, ...parts.flat(), `-- \n${footer.join('\n')}`].join('\n\n')}\n`
}

// Every mail program shows tables and inline styles. The colors of the dark scheme are in the only style sheet: a
// program that ignores it shows the light one.
const font = 'font-family:-apple-system,BlinkMacSystemFont,Segoe UI,Roboto,Helvetica,Arial,sans-serif'
const dark = `@media (prefers-color-scheme:dark){
.page{background:#15171a!important}.card{background:#1f2226!important;border-color:#34383e!important}
.strong{color:#f1f2f4!important}.plain{color:#c9cdd3!important}.quiet{color:#9aa1ab!important}
.line{border-color:#34383e!important}}`

type Page = { subject: string; intro: string[]; sections: Section[]; footer: string[]; language: string }

function asHtml({ subject, intro, sections, footer, language }: Page): string {
  return `<!doctype html>
<html lang="${language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">
<title>${escaped(subject)}</title><style>:root{color-scheme:light dark}${dark}</style></head>
<body class="page" style="margin:0;padding:0;background:#f3f4f6">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" style="padding:24px 12px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" style="max-width:560px">
${intro.map((text) => `<tr><td class="plain" style="${font};padding:0 4px 16px;font-size:14px;line-height:20px;color:#3c424b">${escaped(text)}</td></tr>`).join('')}
${sections.map(sectionHtml).join('\n')}
<tr><td class="quiet" style="${font};padding:8px 4px 0;font-size:12px;line-height:18px;color:#5f6772">${footer.map(escaped).join('<br>')}</td></tr>
</table></td></tr></table></body></html>
`
}

function sectionHtml({ heading, text, facts }: Section): string {
  const cell = 'padding:8px 0;font-size:14px;line-height:20px;border-top:1px solid #e3e5e9;vertical-align:top'
  const rows = facts.map(
    ([
      label,
      value,
    ]) => `<tr><td class="quiet line" style="${font};${cell};padding-right:16px;white-space:nowrap;color:#5f6772">${escaped(label)}</td>
<td class="strong line" width="100%" style="${font};${cell};color:#16191d;word-break:break-word">${escaped(value)}</td></tr>`,
  )
  return `<tr><td style="padding:0 0 16px"><table role="presentation" width="100%" cellpadding="0" cellspacing="0" class="card" style="background:#ffffff;border:1px solid #e3e5e9;border-radius:8px"><tr><td style="padding:24px">
<h1 class="strong" style="${font};margin:0 0 8px;font-size:20px;line-height:28px;font-weight:600;color:#16191d;word-break:break-word">${escaped(heading)}</h1>
<p class="plain" style="${font};margin:0 0 16px;font-size:14px;line-height:20px;color:#3c424b">${escaped(text)}</p>
<table role="presentation" width="100%" cellpadding="0" cellspacing="0">${rows.join('\n')}</table>
</td></tr></table></td></tr>`
}

const longest = 200

function shortened(text: string): string {
  const characters = [...text]
  return characters.length > longest ? `${characters.slice(0, longest).join('')}…` : text
}

/**
 * Text that users chose, such as the name of a token, must not become a link: a mail of this service would then lead
 * its readers to any page an attacker chooses. Mail programs turn text that looks like an address into links; a
 * zero-width non-joiner after each separator prevents that.
 */
function inert(text: string): string {
  return oneLine(text).replace(/[.:@](?=\S)/g, '$&\u200c')
}

/** Without control characters and line breaks, which could add header fields; and without marks that reorder text. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]+/gu, ' ')
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? '')
}

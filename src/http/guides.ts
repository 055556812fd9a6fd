import { existsSync, readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import type { Marked } from 'marked'
import { AppError } from '../shared/errors.ts'

/** No scripts, and nothing from other hosts. */
const policy =
  "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Compiled, this module lies one folder deeper. */
const folder = ['../../docs/', '../../../docs/']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find(existsSync)

/** The Markdown files in `docs/` at the start. No other file is ever read. */
const names = new Set(
  folder === undefined
    ? []
    : readdirSync(folder, { recursive: true, encoding: 'utf8' })
        .map((name) => name.replaceAll('\\', '/'))
        .filter((name) => name.endsWith('.md'))
        .sort(),
)

/** Serves the guides as pages under their file names, so that the links between them lead from page to page. */
export async function guides(app: FastifyInstance): Promise<void> {
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('content-security-policy', policy)
  })
  const hidden = { schema: { hide: true } }
  /** Each is read and rendered once. */
  const pages = new Map<string, Promise<string>>()
  app.get('/docs/guides', hidden, async (_request, reply) => reply.redirect('guides/', 303))
  app.get('/docs/guides/style.css', hidden, async (_request, reply) => reply.type('text/css').send(style))
  app.get<{ Params: { '*': string } }>('/docs/guides/*', hidden, async ({ params }, reply) => {
    const name = params['*']
    if (name !== '' && !names.has(name)) throw new AppError('not_found', 'There is no such guide.')
    const made = pages.get(name) ?? (name === '' ? index() : guide(name))
    pages.set(name, made)
    const html = await made
    const root = '../'.repeat(name.split('/').length - 1)
    return reply.type('text/html; charset=utf-8').send(page(root, html))
  })
}

async function index(): Promise<string> {
  const items = await Promise.all(
    [...names].map(async (name) => `- [${titleOf(await textOf(name))}](${name})`),
  )
  return (await renderer()).parse(`# Guides\n\n${items.join('\n')}\n`)
}

async function guide(name: string): Promise<string> {
  return (await renderer(dirname(name))).parse(await textOf(name))
}

async function textOf(name: string): Promise<string> {
  return readFile(`${folder}${name}`, 'utf8')
}

function titleOf(text: string): string {
  return /^# (.*)$/m.exec(text)?.[1] ?? ''
}

/** Loaded with the first guide. Headings get the anchors that GitHub gives them. */
async function renderer(within = '.'): Promise<Marked<string, string>> {
  const { Marked } = await import('marked')
  return new Marked({
    async: false,
    renderer: {
      heading({ tokens, depth, text }) {
        return `<h${depth} id="${anchorOf(text)}">${this.parser.parseInline(tokens)}</h${depth}>\n`
      },
      link({ href, tokens }) {
        const text = this.parser.parseInline(tokens)
        return isServed(within, href) ? `<a href="${encodeURI(href)}">${text}</a>` : text
      },
    },
  })
}

/** The guides also link to other files of the repository, which the service does not serve. */
function isServed(within: string, href: string): boolean {
  return /^(https?:|#)/.test(href) || names.has(posix.join(within, href.split('#', 1).join()))
}

function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-')
}

function page(root: string, html: string): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${titleIn(html)} · Counterfoil</title>
<link rel="stylesheet" href="${root}style.css">
<nav><a href="${root}../">API reference</a> <a href="${root}./">Guides</a></nav>
<main>${html}</main>
</html>
`
}

/** The content of the first heading. */
function titleIn(html: string): string {
  const start = html.indexOf('>', html.indexOf('<h1')) + 1
  return html.slice(start, html.indexOf('</h1>', start))
}

const style = `:root { color-scheme: light dark; font: 16px/1.6 system-ui, sans-serif }
body { max-width: 54rem; margin: 0 auto; padding: 1rem 1.25rem 4rem }
nav { display: flex; gap: 1.25rem; font-size: 14px; padding-bottom: .5rem; border-bottom: 1px solid #8884 }
h1, h2, h3 { line-height: 1.25; margin: 2rem 0 .75rem }
h1 { font-size: 28px }
h2 { font-size: 20px }
h3 { font-size: 16px }
a { color: light-dark(#0b57d0, #8ab4f8) }
code, pre { font: 14px/1.5 ui-monospace, monospace }
code { background: #8882; border-radius: 4px; padding: 1px 4px }
pre { background: #8881; border: 1px solid #8883; border-radius: 6px; padding: .75rem 1rem; overflow-x: auto }
pre code { background: none; padding: 0 }
table { display: block; overflow-x: auto; border-collapse: collapse; font-size: 14px }
th, td { border-bottom: 1px solid #8884; padding: .5rem .75rem .5rem 0; text-align: left; vertical-align: top }
td:first-child code { white-space: nowrap }
`

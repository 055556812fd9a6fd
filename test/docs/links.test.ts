import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { documents, read, root } from './markdown.ts'

for (const document of documents) {
  t.test(`links of ${document} have targets`, async (t) => {
    const targets = [...read(document).matchAll(/\]\(([^)\s]+)\)/g)].map((match) => match[1] ?? '')
    for (const target of targets.filter((target) => !/^(https?:|mailto:)/.test(target))) {
      const [path = '', anchor] = target.split('#')
      const linked = path === '' ? document : join(dirname(document), path)
      t.ok(existsSync(join(root, linked)), target)
      if (anchor !== undefined) t.ok(anchors(linked).includes(anchor), target)
    }
  })
}

t.test('the README links to every document', async (t) => {
  const readme = read('README.md')
  for (const document of documents.filter((name) => name !== 'README.md')) {
    t.ok(readme.includes(`](${document})`), document)
  }
})

/** The anchors that GitHub generates for headings. */
function anchors(document: string): string[] {
  const headings = read(document).match(/^#+ .*$/gm) ?? []
  return headings.map((heading) =>
    heading
      .replace(/^#+ /, '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

// All words of the console are in console/app/words.ts, so that another language is one more file.
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'

const root = join(import.meta.dirname, '../../console/app')
/** Attributes and properties that people read or hear. */
const read = ['aria-label', 'title', 'placeholder', 'alt', 'label', 'help']
const letters = /\p{L}/u

/** Text for people in a file: text in markup, attributes that are read, and sentences. */
function textIn(file: string, code: string): string[] {
  const source = ts.createSourceFile(file, code, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX)
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    const at = `${file}:${source.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
    if (ts.isJsxText(node) && letters.test(node.text)) found.push(`${at} ${node.text.trim()}`)
    else if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node)) {
      const { parent } = node
      const member = ts.isJsxAttribute(parent) || ts.isPropertyAssignment(parent) ? parent.name.getText() : ''
      const sentence = /^\p{Lu}\p{L}*[ ,.]+\p{L}/u.test(node.text)
      if (letters.test(node.text) && (read.includes(member) || sentence)) found.push(`${at} ${node.text}`)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

t.test('no text for people is outside of the catalogue', async (t) => {
  const files = globSync('**/*.{ts,tsx}', { cwd: root }).filter(
    (file) => file !== 'words.ts' && !file.endsWith('.d.ts'),
  )
  t.ok(files.length > 20)
  t.same(
    files.flatMap((file) => textIn(file, readFileSync(join(root, file), 'utf8'))),
    [],
  )
  const found = (code: string) => textIn('a.tsx', code).length
  t.equal(found('<p>Hello</p>'), 1)
  t.equal(found('<input placeholder="name" />'), 1)
  t.equal(found(`announce('The token is gone')`), 1)
  t.equal(found('<p class="lead">{words.title}</p>'), 0)
})

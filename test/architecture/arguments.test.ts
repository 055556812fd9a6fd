import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'

const root = join(import.meta.dirname, '../..')
const most = 4

/** Called for every introspection, where an object for the arguments would be one more allocation per request. */
const hot = ['src/introspection/introspect.ts decide', 'src/introspection/microbatch.ts settle']

/** The functions of a file, with how many arguments each takes. */
function functionsIn(file: string, text: string): { name: string; takes: number }[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found: { name: string; takes: number }[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body) {
      const name = node.name ?? (ts.isVariableDeclaration(node.parent) ? node.parent.name : undefined)
      found.push({ name: `${file} ${name?.getText() ?? '(anonymous)'}`, takes: node.parameters.length })
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const functions = globSync(['{src,client,migrations,examples}/**/*.ts'], { cwd: root }).flatMap((file) =>
  functionsIn(file, readFileSync(join(root, file), 'utf8')),
)

t.test('functions, methods and arrow functions are found with their arguments', async (t) => {
  const text = 'function one(a) {}\nconst two = (a, { b }) => a\nclass C { three(a, b, c) {} }\nf((a) => a)'
  t.same(functionsIn('x.ts', text), [
    { name: 'x.ts one', takes: 1 },
    { name: 'x.ts two', takes: 2 },
    { name: 'x.ts three', takes: 3 },
    { name: 'x.ts (anonymous)', takes: 1 },
  ])
  t.ok(functions.length > 1000, `${functions.length} functions`)
})

t.test(`no function takes more than ${most} arguments: more go into an object, with names`, async (t) => {
  t.same(
    functions.filter(({ takes }) => takes > most).map(({ name }) => name),
    hot,
  )
})

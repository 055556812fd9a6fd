import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import ts from 'typescript'

const root = join(import.meta.dirname, '../..')

/** A regular expression and its location; `source` is undefined if it is known only at run time. */
export type Expression = { where: string; source: string | undefined; flags: string }

const shipped = ['src/**/*.ts', 'client/**/*.ts', 'migrations/*.ts', 'bin/*.js', 'examples/**/*.ts']

/**
 * Every regular expression in these files: literals, arguments of RegExp and `match`, and `pattern`s of JSON Schemas.
 */
export function expressionsIn(paths: string[] = globSync(shipped, { cwd: root }).sort()): Expression[] {
  return paths.flatMap((path) => {
    const found: Expression[] = []
    const file = parse(path)
    const add = (node: ts.Node, source: string | undefined, flags = '') => {
      const { line } = file.getLineAndCharacterOfPosition(node.getStart(file))
      found.push({ where: `${path}:${line + 1}`, source, flags })
    }
    const visit = (node: ts.Node): void => {
      if (ts.isRegularExpressionLiteral(node)) {
        const end = node.text.lastIndexOf('/')
        add(node, node.text.slice(1, end), node.text.slice(end + 1))
      } else if ((ts.isNewExpression(node) || ts.isCallExpression(node)) && isRegExp(node.expression)) {
        const [pattern, flags] = node.arguments ?? []
        if (pattern && !ts.isRegularExpressionLiteral(pattern))
          add(node, textOf(path, pattern), flags && textOf(path, flags))
      } else if (ts.isCallExpression(node) && isSearch(node.expression)) {
        const [pattern] = node.arguments
        if (pattern && (ts.isStringLiteralLike(pattern) || ts.isTemplateExpression(pattern)))
          add(node, textOf(path, pattern))
      } else if (ts.isPropertyAssignment(node) && node.name.getText(file) === 'pattern') {
        add(node, textOf(path, node.initializer))
      } else if (ts.isShorthandPropertyAssignment(node) && node.name.text === 'pattern') {
        add(node, textOf(path, node.name))
      }
      ts.forEachChild(node, visit)
    }
    visit(file)
    return found
  })
}

function isRegExp(node: ts.Expression): boolean {
  return ts.isIdentifier(node) && node.text === 'RegExp'
}

function isSearch(node: ts.Expression): boolean {
  return ts.isPropertyAccessExpression(node) && ['match', 'matchAll', 'search'].includes(node.name.text)
}

const files = new Map<string, ts.SourceFile>()

function parse(path: string): ts.SourceFile {
  const known = files.get(path)
  if (known) return known
  const text = readFileSync(join(root, path), 'utf8')
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true)
  files.set(path, file)
  return file
}

/** The text of a constant expression, from this file or the one it is imported from. */
function textOf(path: string, node: ts.Expression): string | undefined {
  if (ts.isStringLiteralLike(node)) return node.text
  if (ts.isTemplateExpression(node)) {
    const parts = node.templateSpans.flatMap(({ expression, literal }) => [
      textOf(path, expression),
      literal.text,
    ])
    return joined([node.head.text, ...parts])
  }
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken)
    return joined([textOf(path, node.left), textOf(path, node.right)])
  if (ts.isParenthesizedExpression(node) || ts.isAsExpression(node)) return textOf(path, node.expression)
  if (ts.isPropertyAccessExpression(node) && node.name.text === 'source') return textOf(path, node.expression)
  if (ts.isRegularExpressionLiteral(node)) return node.text.slice(1, node.text.lastIndexOf('/'))
  return ts.isIdentifier(node) ? textOfConstant(path, node.text) : undefined
}

function joined(parts: (string | undefined)[]): string | undefined {
  return parts.includes(undefined) ? undefined : parts.join('')
}

function textOfConstant(path: string, name: string): string | undefined {
  for (const statement of parse(path).statements) {
    if (ts.isVariableStatement(statement) && statement.declarationList.flags & ts.NodeFlags.Const) {
      for (const { name: declared, initializer } of statement.declarationList.declarations)
        if (ts.isIdentifier(declared) && declared.text === name && initializer)
          return textOf(path, initializer)
    }
    if (!ts.isImportDeclaration(statement) || !ts.isStringLiteral(statement.moduleSpecifier)) continue
    const bindings = statement.importClause?.namedBindings
    if (!bindings || !ts.isNamedImports(bindings)) continue
    const one = bindings.elements.find((element) => element.name.text === name)
    const module = statement.moduleSpecifier.text
    if (one && module.startsWith('.'))
      return textOfConstant(normalize(join(dirname(path), module)), (one.propertyName ?? one.name).text)
  }
  return undefined
}

import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export const root = join(import.meta.dirname, '../..')

/** Every document of the repository, by its path from the root. */
export const documents = globSync(['*.md', 'docs/**/*.md'], { cwd: root }).sort()

export function read(document: string): string {
  return readFileSync(join(root, document), 'utf8')
}

/** The fenced blocks of a language, in their order. */
export function blocks(document: string, language: string): string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms')
  return [...read(document).matchAll(fence)].map((match) => match[1] ?? '')
}

/** The fenced blocks of a language in the section with this heading, also those in lists, without their indentation. */
export function blocksBelow(document: string, heading: string, language: string): string[] {
  const text = read(document)
  const fence = new RegExp(`^( *)\`\`\`${language}\\n(.*?)^ *\`\`\`$`, 'gms')
  return [...text.slice(text.indexOf(`\n${heading}\n`)).matchAll(fence)].map(([, indent = '', block = '']) =>
    block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  )
}

/** The blocks of shell lines that call the service. */
export function curlBlocks(document: string): string[] {
  return blocks(document, 'sh').filter((block) => block.includes('curl '))
}

/** The rows of the first table, or of the first below a heading, as cells without their code marks. */
export function table(document: string, heading = ''): string[][] {
  const text = read(document)
  const lines = text.slice(text.indexOf(heading)).split('\n')
  const start = lines.findIndex((line) => line.startsWith('|'))
  const length = lines.slice(start).findIndex((line) => !line.startsWith('|'))
  return lines.slice(start + 2, start + length).map(cells)
}

function cells(row: string): string[] {
  return row
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim().replaceAll('`', ''))
}

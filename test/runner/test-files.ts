import { existsSync, globSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** The test files in these files and folders, by their paths from the root; by default all test files. */
export function testFiles(paths: string[]): string[] {
  const found = (paths.length > 0 ? paths : [join(root, 'test')]).flatMap((path) => {
    if (!existsSync(path)) throw new Error(`${path} does not exist`)
    const files = statSync(path).isDirectory() ? globSync(join(path, '**/*.test.ts')) : [path]
    if (files.length === 0) throw new Error(`${path} has no *.test.ts in it`)
    return files
  })
  return [...new Set(found.map((path) => relative(root, path)))].sort()
}

import { readFileSync } from 'node:fs'

/** The configuration or the database does not let the service run; the message says what to correct. */
export class ConfigError extends Error {}

/**
 * The environment, with the variables of these names also read from their files. Empty variables count as unset, since
 * compose files and shells pass unset variables that way.
 */
export function withFiles(
  env: Record<string, string | undefined>,
  names: readonly string[],
): Record<string, string> {
  const given = Object.entries(env).filter((entry): entry is [string, string] => Boolean(entry[1]))
  const data = Object.fromEntries(given)
  for (const name of names) {
    const path = data[`${name}_FILE`]
    if (path === undefined) continue
    if (data[name] !== undefined) throw new ConfigError(`${name} and ${name}_FILE cannot both be given.`)
    data[name] = readSecretFile(`${name}_FILE`, path)
  }
  return data
}

function readSecretFile(variable: string, path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    throw new ConfigError(
      `${variable} names a file that cannot be read (${(error as NodeJS.ErrnoException).code}).`,
    )
  }
}

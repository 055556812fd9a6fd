import { appendFileSync, closeSync, fsyncSync, openSync } from 'node:fs'
import type { Api } from './api.ts'
import { apply, type Step, type WebhookSecret } from './apply.ts'
import type { Configuration } from './file.ts'

type Options = {
  api: Api
  dryRun: boolean
  json: boolean
  /** Where the secrets of new webhooks are written. */
  secretsFile: string | undefined
  print(text: string): void
}

/** Makes the service match the configuration, and prints what was changed or would be. */
export async function applyConfiguration(
  configuration: Configuration,
  { api, dryRun, json, secretsFile, print }: Options,
): Promise<void> {
  const steps: Step[] = []
  await apply(api, configuration, {
    dryRun,
    onStep(step) {
      steps.push(step)
      if (!json) print(describe(step))
    },
    keepSecret: secretsFile === undefined ? undefined : (secret) => append(secretsFile, secret),
  })
  if (json) print(`${JSON.stringify(steps, null, 2)}\n`)
  else if (steps.length === 0) print('Nothing to change: the service matches the file.\n')
  else if (dryRun) print('Nothing was changed: this was a dry run.\n')
}

/** A line of JSON for each secret, in a file that only its owner can read. Without a secret it only tries the file. */
function append(file: string, secret?: WebhookSecret): void {
  const opened = openSync(file, 'a', 0o600)
  try {
    if (secret === undefined) return
    appendFileSync(opened, `${JSON.stringify(secret)}\n`)
    fsyncSync(opened)
  } finally {
    closeSync(opened)
  }
}

function describe({ action, resource, differences }: Step): string {
  const lines = differences.map(({ member, from, to }) => {
    const before = action === 'change' ? `${JSON.stringify(from)} → ` : ''
    return `    ${member}: ${before}${JSON.stringify(to)}\n`
  })
  return `${action} ${resource}\n${lines.join('')}`
}

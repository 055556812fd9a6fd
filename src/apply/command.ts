import { openApi, type Service } from './api.ts'
import { apply, type Step } from './apply.ts'
import { readConfiguration } from './file.ts'

type Options = {
  service: Service
  dryRun: boolean
  json: boolean
  print(text: string): void
}

/** Applies a file to the service, and prints what was changed or would be. */
export async function applyFile(file: string, { service, dryRun, json, print }: Options): Promise<void> {
  const steps: Step[] = []
  await apply(openApi(service), readConfiguration(file), dryRun, (step) => {
    steps.push(step)
    if (!json) print(describe(step))
  })
  if (json) print(`${JSON.stringify(steps, null, 2)}\n`)
  else if (steps.length === 0) print('Everything is as the file says.\n')
  else if (dryRun) print('Nothing was changed: this was a dry run.\n')
}

function describe({ action, resource, differences }: Step): string {
  const lines = differences.map(({ member, from, to }) => {
    const before = action === 'change' ? `${JSON.stringify(from)} → ` : ''
    return `    ${member}: ${before}${JSON.stringify(to)}\n`
  })
  return `${action} ${resource}\n${lines.join('')}`
}

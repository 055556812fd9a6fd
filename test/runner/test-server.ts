import { once } from 'node:events'

export type TestServer = { url: string; template: string }

let known: Promise<TestServer> | undefined

/** The PostgreSQL server of the run, with the migrated database: started when the first test requests it. */
export function testServer(): Promise<TestServer> {
  known ??= ask()
  return known
}

async function ask(): Promise<TestServer> {
  if (!process.send) throw new Error('run tests with `npm test -- <file>`: they need its PostgreSQL')
  process.send({ asks: 'server' })
  for (;;) {
    const [message] = await once(process, 'message')
    if (message.server) return message.server
  }
}

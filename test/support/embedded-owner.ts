// A Counterfoil in another process: starts the database in the given directory, and keeps it until it is told to
// stop by a line on its standard input, or is killed. Reports on standard output, one JSON object a line.
import { createInterface } from 'node:readline'
import { startEmbedded } from '../../src/embedded-postgres/installation.ts'

const report = (message: object) => console.log(JSON.stringify(message))

try {
  const database = await startEmbedded(process.argv[2] ?? '')
  report({ url: database.url })
  createInterface(process.stdin).once('line', async () => {
    await database.stop()
    report({ stopped: true })
    process.exit()
  })
} catch (error) {
  report({ error: (error as Error).message })
}

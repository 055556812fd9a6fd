// A Counterfoil in another process: starts the database in the given directory, and keeps it running until a line on
// standard input says stop, or it is killed. Reports on standard output, one JSON object per line.
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

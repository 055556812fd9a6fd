// The load generator, which runs in its own process: keeps a number of connections busy, each with one request at a
// time, and checks every response. It receives a Load as a message, and sends a Tally.
import { connect } from 'node:net'
import { readAnswer } from './answer.ts'
import type { Load, Tally } from './load.ts'
import { type Asked, questions } from './questions.ts'

let running = false

process.on('message', async (message: Load | 'stop') => {
  if (message === 'stop') running = false
  else process.send?.(await run(message))
})
process.on('disconnect', () => process.exit())

async function run(load: Load): Promise<Tally> {
  running = true
  const tally: Tally = { seconds: 0, answers: 0, active: 0, wrong: 0 }
  const next = questions(load)
  const start = performance.now()
  const limit = setTimeout(() => {
    running = false
  }, load.seconds * 1000)
  await Promise.all(Array.from({ length: load.connections }, () => drive(load, next, tally)))
  clearTimeout(limit)
  tally.seconds = (performance.now() - start) / 1000
  return tally
}

function drive(load: Load, next: () => Asked | undefined, tally: Tally): Promise<void> {
  return new Promise((resolve) => {
    let asked: Asked | undefined
    let text = ''
    const ask = () => {
      asked = running ? next() : undefined
      if (asked) socket.write(asked.request, 'latin1')
      else socket.end()
    }
    const take = (chunk: string) => {
      text = text === '' ? chunk : text + chunk
      const answer = readAnswer(text)
      if (answer === undefined) return
      text = ''
      tally.answers++
      if (answer.active) tally.active++
      const good = answer.status === 200 && answer.active === asked?.good
      if (!good) {
        tally.wrong++
        tally.example ??= `${answer.status} ${answer.body.slice(0, 200)}`
      }
      ask()
    }
    // A buffer per connection saves an allocation per response.
    const onread = {
      buffer: Buffer.allocUnsafe(64 * 1024),
      callback(length: number, buffer: Uint8Array) {
        take((buffer as Buffer).toString('latin1', 0, length))
        return true
      },
    }
    const socket = connect({ host: '127.0.0.1', port: load.port, noDelay: true, onread })
    socket.on('connect', ask)
    socket.on('error', (error) => {
      tally.example ??= error.message
    })
    socket.on('close', () => {
      // The server closed the connection with a request pending.
      if (asked) tally.wrong++
      resolve()
    })
  })
}

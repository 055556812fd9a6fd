// (a) Node's HTTP server, which reads the request and always sends the same response.
import { createServer } from 'node:http'
import { fixedAnswer } from './fixed-answer.ts'
import { report } from './serve.ts'

const body = JSON.stringify(fixedAnswer)
const headers = {
  'content-type': 'application/json; charset=utf-8',
  'content-length': Buffer.byteLength(body),
}

const server = createServer((request, response) => {
  request.resume()
  request.on('end', () => response.writeHead(200, headers).end(body))
})
await report(server.listen(0, '127.0.0.1'))

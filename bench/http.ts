import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { createServer } from 'node:net'

const agent = new Agent({ keepAlive: true })

export type Reply = { status: number; body: string }

/** One request of the harness itself, for single events that the load generator does not measure. */
export function ask(
  port: number,
  method: 'GET' | 'POST' | 'PUT',
  path: string,
  { token, form, json }: { token?: string; form?: string; json?: unknown } = {},
): Promise<Reply> {
  const body = json === undefined ? form : JSON.stringify(json)
  const headers = {
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...(body !== undefined && {
      'content-type': json === undefined ? 'application/x-www-form-urlencoded' : 'application/json',
      'content-length': Buffer.byteLength(body),
    }),
  }
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path, headers, agent }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
      response.on('error', reject)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address ? address.port : 0
}

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import type { Test } from 'tap'

/** A TLS proxy in front of a server, with a certificate that only clients given its path trust. */
export async function putTlsBefore(t: Test, host: string, folder: string) {
  const [key, certificate] = [join(folder, 'tls.key'), join(folder, 'tls.pem')]
  const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const files = ['-keyout', key, '-out', certificate]
  const made = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
  ]
  execFileSync('openssl', [...made, ...subject, ...files], { stdio: 'ignore' })
  const { hostname, port } = new URL(`http://${host}`)
  const server = createServer({ key: await readFile(key), cert: await readFile(certificate) }, (near) => {
    const far = connect(Number(port), hostname)
    near.on('error', () => far.destroy())
    far.on('error', () => near.destroy())
    near.pipe(far).pipe(near)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return { url: `https://127.0.0.1:${(server.address() as { port: number }).port}`, certificate }
}

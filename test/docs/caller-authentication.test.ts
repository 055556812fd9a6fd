import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { promisify } from 'node:util'
import t from 'tap'
import { recordSecret } from '../support/records.ts'
import { createWorld, issuer } from '../support/world.ts'
import { blocks, root } from './markdown.ts'

t.test('the programs of docs/caller-authentication.md register a key and call with it', async (t) => {
  const world = await createWorld(t)
  // The program uses the real clock.
  world.clock.now = new Date()
  const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
  const [print = '', call = '', ...more] = blocks('docs/caller-authentication.md', 'js')
  t.same(more, [])
  const { privateKey } = generateKeyPairSync('ed25519')
  const pem = String(privateKey.export({ format: 'pem', type: 'pkcs8' }))
  recordSecret(String(privateKey.export({ format: 'jwk' }).d))
  const run = async (program: string, env: Record<string, string>) => {
    const args = ['--input-type=module', '--eval', program]
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env })
    return stdout.trim()
  }
  const { id } = await world.issue({ type: 'management', scopes: ['tokens:introspect'] })
  const keys = `/v1/organizations/default/tokens/${id}/client-keys`
  const body = JSON.parse(await run(print, { PRIVATE_KEY: pem }))
  t.match(await world.ask('PUT', keys, { body }), { status: 200 })
  const { secret } = await world.issue()
  const env = { COUNTERFOIL_URL: url, COUNTERFOIL_ISSUER: issuer, CLIENT_ID: id, PRIVATE_KEY: pem }
  t.equal(await run(call, { ...env, TOKEN: secret }), 'come in')
  await world.ask('POST', '/revoke', { form: { token: secret } })
  t.equal(await run(call, { ...env, TOKEN: secret }), 'stay out')
})

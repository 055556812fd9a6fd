import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createWorld, issuer } from '../support/world.ts'

const root = join(import.meta.dirname, '../..')

t.test('the program of docs/jwt.md verifies our JWTs as it stands, and nothing else', async (t) => {
  const [, program = ''] = /```js\n(.*?)```/s.exec(await readFile(join(root, 'docs/jwt.md'), 'utf8')) ?? []
  const world = await createWorld(t)
  // The program goes by the real clock.
  world.clock.now = new Date()
  const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
  const type = { name: 'jwt', format: 'jwt', audience: ['https://api.example'] }
  await world.ask('POST', '/v1/token-types', { body: type })
  const verdictOn = async (token: string) => {
    const script = `${program}\nverify(process.env.TOKEN).then(({ jti }) => console.log(jti), ({ code }) => console.log(code))`
    const env = { COUNTERFOIL_URL: url, COUNTERFOIL_ISSUER: issuer, TOKEN: token }
    const args = ['--input-type=module', '--eval', script]
    return (await promisify(execFile)(process.execPath, args, { cwd: root, env })).stdout.trim()
  }
  const { id, secret } = await world.issue({ type: 'jwt', lifetime_days: 1 })
  t.equal(await verdictOn(secret), id)
  const elsewhere = await world.issue({ type: 'jwt', lifetime_days: 1, audience: ['https://other.example'] })
  t.equal(await verdictOn(elsewhere.secret), 'ERR_JWT_CLAIM_VALIDATION_FAILED')
  t.equal(await verdictOn(`${secret.slice(0, -8)}AAAAAAAA`), 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED')
})

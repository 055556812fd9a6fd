import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { keptMs } from '../../src/status-lists/status-lists.ts'
import { createWorld, issuer } from '../support/world.ts'
import { blocks, root } from './markdown.ts'

const [program = '', statusProgram = '', ...more] = blocks('docs/jwt.md', 'js')
t.same(more, [])

t.test('the program of docs/jwt.md verifies our JWTs unchanged, and rejects others', async (t) => {
  const world = await createWorld(t)
  // The program uses the real clock.
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
  await world.ask('POST', '/v1/organizations', { body: { key: 'acme', name: 'Acme' } })
  const ofOthers = await world.issue({ type: 'jwt', lifetime_days: 1 }, 'acme')
  t.equal(await verdictOn(ofOthers.secret), 'ERR_JWT_CLAIM_VALIDATION_FAILED', 'of another organization')
  t.equal(await verdictOn(`${secret.slice(0, -8)}AAAAAAAA`), 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED')
})

t.test('the second program of docs/jwt.md learns of a revocation from the status list', async (t) => {
  const world = await createWorld(t)
  world.clock.now = new Date()
  const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
  const type = { name: 'jwt', format: 'jwt', audience: ['https://api.example'], status_list: true }
  await world.ask('POST', '/v1/token-types', { body: type })
  const { id, secret } = await world.issue({ type: 'jwt', lifetime_days: 1 })
  const isRevoked = async () => {
    const script = `${program}\n${statusProgram}\nconsole.log(await isRevoked(await verify(process.env.TOKEN)))`
    const env = { COUNTERFOIL_URL: url, COUNTERFOIL_ISSUER: issuer, TOKEN: secret }
    const args = ['--input-type=module', '--eval', script]
    return (await promisify(execFile)(process.execPath, args, { cwd: root, env })).stdout.trim()
  }
  t.equal(await isRevoked(), 'false')
  await world.ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
  world.clock.advance(keptMs)
  t.equal(await isRevoked(), 'true')
})

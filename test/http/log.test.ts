import t from 'tap'
import { createLogger, fitForLog } from '../../src/http/log.ts'
import { generateSecret, Secret } from '../../src/shared/secret.ts'

function lineOf(logged: object): Record<string, unknown> {
  let line = ''
  createLogger('info', {
    write(text) {
      line = text
    },
  }).info(logged, 'message')
  return JSON.parse(line)
}

t.test('members named like secrets are not logged, at any depth', async (t) => {
  const line = lineOf({
    authorization: 'Bearer x',
    body: { token: 'x', kept: 1 },
    req: { headers: { authorization: 'x', host: 'here' } },
    list: [{ password: 'x' }],
  })
  t.match(line, {
    authorization: '[redacted]',
    body: { token: '[redacted]', kept: 1 },
    req: { headers: { authorization: '[redacted]', host: 'here' } },
    list: [{ password: '[redacted]' }],
    msg: 'message',
  })
})

t.test('everything else is logged as it is', async (t) => {
  const at = new Date('2026-11-25T00:00:00Z')
  const line = lineOf({ at, list: [1, null], err: new Error('broken'), own: new Secret('x'), nothing: null })
  t.match(line, {
    at: at.toISOString(),
    list: [1, null],
    err: { type: 'Error', message: 'broken' },
    own: '[secret]',
    nothing: null,
  })
})

t.test('a long text is truncated before the search for secrets, and never within one', async (t) => {
  t.match(fitForLog(`/${'-a'.repeat(7_800)}`), /^\/… \(15601 characters\)$/)
  const secret = generateSecret('api').reveal()
  for (let before = 3_950; before < 4_010; before++) {
    const logged = fitForLog(`${' '.repeat(before)}${secret} ${'more '.repeat(1_000)}`)
    t.notMatch(logged, secret.slice(0, 12), `${before} characters before the secret`)
    t.ok(logged.length < 4_100)
  }
})

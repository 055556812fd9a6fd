import t from 'tap'
import { createLogger } from '../../src/http/log.ts'
import { Secret } from '../../src/tokens/secret.ts'

function lineOf(logged: object): Record<string, unknown> {
  let line = ''
  createLogger('info', {
    write(text) {
      line = text
    },
  }).info(logged, 'message')
  return JSON.parse(line)
}

t.test('what has the name of a secret is not logged, at the top or inside', async (t) => {
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

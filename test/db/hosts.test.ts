import t from 'tap'
import { readConfig } from '../../src/config.ts'
import { serversOf } from '../../src/db/hosts.ts'

t.test('a URL with several hosts names several servers', async (t) => {
  t.same(serversOf('postgres://u:p%40,@one:1,[::1]:2,three/db?target_session_attrs=primary'), [
    'postgres://u:p%40,@one:1/db?target_session_attrs=primary',
    'postgres://u:p%40,@[::1]:2/db?target_session_attrs=primary',
    'postgres://u:p%40,@three/db?target_session_attrs=primary',
  ])
  for (const url of ['postgres://one/db', 'postgres://u:p,q@one/db', 'postgresql:///db?host=/run/a,b'])
    t.same(serversOf(url), [url])
})

const accepted = ['', '?target_session_attrs=read-write', '?target_session_attrs=primary&sslmode=require']
const refused = {
  'postgres://one,two/db?target_session_attrs=any': /target_session_attrs/,
  'postgres://one/db?target_session_attrs=prefer-standby': /target_session_attrs/,
  'postgres:///db?host=one,two': /several hosts/,
  'postgres://one:x,two/db': /host1:5432,host2:5432/,
}

for (const name of ['DATABASE_URL', 'DATABASE_LISTEN_URL']) {
  t.test(`${name} may name several hosts, of which the primary is asked`, async (t) => {
    for (const query of accepted) readConfig({ [name]: `postgres://one:5432,two/db${query}` })
    for (const [url, problem] of Object.entries(refused)) t.throws(() => readConfig({ [name]: url }), problem)
  })
}

import t from 'tap'
import { readConfig } from '../../src/config.ts'
import { serversOf } from '../../src/db/hosts.ts'
import { explainExit } from '../../src/exit.ts'

t.test('a URL with several hosts gives several servers', async (t) => {
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
  t.test(`${name} may list several hosts, of which the primary is used`, async (t) => {
    for (const query of accepted) readConfig({ [name]: `postgres://one:5432,two/db${query}` })
    for (const [url, problem] of Object.entries(refused)) t.throws(() => readConfig({ [name]: url }), problem)
  })
}

const malformed = [
  'postgres://u:hunter2@ss/w#rd@host/db',
  'postgres://u:p@hunter2@host/db',
  'postgres://u:p/hunter2@host/db',
  'postgres://u:p?hunter2@host/db',
  'postgres://u:p#hunter2@host/db',
  'postgres://hunter2#@host/db',
  'postgres://host/db#hunter2',
  'postgres://user:hunter2',
  'postgres://u:hunter2%fe@host/db',
  'postgres://u:hunter2@host:99999/db',
  'postgres://u:hunter2@host:0/db',
  'postgres://u:hunter2@host/db?port=none',
  'postgres://u:hunter2@host/db?sslmode=verify-full&sslrootcert=/nonesuch/hunter2',
  'postgres://u:p@hunter2,three@one:x,two/db',
  'postgres://u:hunter2@one,two:99999/db',
]
const wellFormed = [
  'postgres://u:p%40ss%2Fw%23rd%3F@host/db',
  'postgres://user:p:w@[::1]:5432/db?application_name=a/b',
  'postgresql:///db?host=/run/postgresql&user=u%40corp',
]

for (const name of ['DATABASE_URL', 'DATABASE_LISTEN_URL']) {
  t.test(`a malformed ${name} is rejected with a sentence that contains no part of it`, async (t) => {
    for (const url of wellFormed) readConfig({ [name]: url })
    for (const url of malformed) {
      const { message, code } = explainExit(thrownBy(() => readConfig({ [name]: url })))
      t.equal(code, 78, url)
      t.match(message, new RegExp(`^${name} .*(percent-encode|host1:5432|cannot be read).*\\.$`), url)
      t.notMatch(message, /hunter2|w#rd|\bss\b/)
    }
  })
}

function thrownBy(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  return undefined
}

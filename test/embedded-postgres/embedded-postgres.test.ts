import { once } from 'node:events'
import { mkdir, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { startEmbedded } from '../../src/embedded-postgres/installation.ts'
import {
  isRoot,
  kill,
  newDirectory,
  postmasterPid,
  preparedDirectory,
  query,
  start,
  startElsewhere,
} from '../support/embedded.ts'

const inUse = /^another Counterfoil is using \S+$/
const otherUid = 65534

// Shared by the tests that only read.
const running = await newDirectory(t)
const { url } = await start(t, running)
const pid = await postmasterPid(running)

t.test('data survives stop and start', async (t) => {
  const directory = await preparedDirectory(t)
  const first = await start(t, directory)
  await query(first.url, 'create table kept as select 42 as answer')
  await first.stop()
  const second = await start(t, directory)
  t.same(await query(second.url, 'select answer from kept'), [{ answer: 42 }])
})

t.test('stopping twice has the effect of stopping once, and leaves no server behind', async (t) => {
  const directory = await preparedDirectory(t)
  const database = await start(t, directory)
  await Promise.all([database.stop(), database.stop()])
  await database.stop()
  await t.rejects(query(database.url, 'select 1'), { code: 'ECONNREFUSED' })
  await t.rejects(postmasterPid(directory), { code: 'ENOENT' })
})

t.test('stopping does not fail when the server is gone already', async (t) => {
  const directory = await preparedDirectory(t)
  const database = await start(t, directory)
  process.kill(await postmasterPid(directory), 'SIGKILL')
  await database.stop()
  const again = await start(t, directory)
  t.same(await query(again.url, 'select 1 as one'), [{ one: 1 }])
})

t.test('a server that outlives its killed owner is adopted with all its data', async (t) => {
  const directory = await preparedDirectory(t)
  const owner = await startElsewhere(t, directory)
  await query(owner.report.url ?? '', 'create table kept as select 42 as answer')
  const pid = await postmasterPid(directory)
  await kill(owner.child)
  const database = await start(t, directory)
  t.equal(await postmasterPid(directory), pid)
  t.same(await query(database.url, 'select answer from kept'), [{ answer: 42 }])
  await database.stop()
  await t.rejects(query(database.url, 'select 1'), { code: 'ECONNREFUSED' })
})

t.test('acknowledged changes survive the death of owner and server', async (t) => {
  const directory = await preparedDirectory(t)
  const owner = await startElsewhere(t, directory)
  await query(owner.report.url ?? '', 'create table kept as select 42 as answer')
  await kill(owner.child)
  process.kill(await postmasterPid(directory), 'SIGKILL')
  const database = await start(t, directory)
  t.same(await query(database.url, 'select answer from kept'), [{ answer: 42 }])
})

t.test('a process with the recycled id of a dead server is left alone', async (t) => {
  const directory = await preparedDirectory(t)
  const first = await start(t, directory)
  const file = join(directory, 'postgres', 'postmaster.pid')
  const lines = (await readFile(file, 'utf8')).split('\n')
  await first.stop()
  const bystander = await startElsewhere(t, await preparedDirectory(t))
  await writeFile(file, [bystander.child.pid, ...lines.slice(1)].join('\n'))
  const second = await start(t, directory)
  t.same(await query(second.url, 'select 1 as one'), [{ one: 1 }])
  t.same(await query(bystander.report.url ?? '', 'select 1 as one'), [{ one: 1 }])
})

t.test('a second start from another process is rejected and does not disturb the first', async (t) => {
  const directory = await preparedDirectory(t)
  const first = await start(t, directory)
  const second = await startElsewhere(t, directory)
  t.match(second.report.error, inUse)
  t.same(await query(first.url, 'select 1 as one'), [{ one: 1 }])
})

t.test('a second start from the same process is rejected until the first has stopped', async (t) => {
  const directory = await preparedDirectory(t)
  const first = await start(t, directory)
  await t.rejects(startEmbedded(directory), { message: inUse })
  t.match((await startElsewhere(t, directory)).report.error, inUse)
  await first.stop()
  await start(t, directory)
})

t.test('of two simultaneous first starts exactly one wins', async (t) => {
  const directory = await newDirectory(t)
  const both = await Promise.all([startElsewhere(t, directory), startElsewhere(t, directory)])
  const [winner, loser] = both.sort((a, b) => Number(!a.report.url) - Number(!b.report.url))
  t.match(loser?.report.error, inUse)
  t.same(await query(winner?.report.url ?? '', 'select 1 as one'), [{ one: 1 }])
  winner?.child.stdin.write('stop\n')
  t.same(await winner?.next(), { stopped: true })
})

t.test('of two simultaneous starts after a crash exactly one wins', async (t) => {
  const directory = await preparedDirectory(t)
  await kill((await startElsewhere(t, directory)).child)
  const both = await Promise.all([startElsewhere(t, directory), startElsewhere(t, directory)])
  t.equal(both.filter(({ report }) => report.url).length, 1)
  t.equal(both.filter(({ report }) => inUse.test(report.error ?? '')).length, 1)
})

t.test('a directory whose creation was interrupted is created again', async (t) => {
  const directory = await newDirectory(t)
  await mkdir(join(directory, 'postgres.new-Ab12Cd', 'base'), { recursive: true, mode: 0o755 })
  await writeFile(join(directory, 'postgres.new-Ab12Cd', 'PG_VERSION'), '18\n')
  await writeFile(join(directory, 'postgres-password'), '')
  const database = await start(t, directory)
  t.same(await query(database.url, 'select 1 as one'), [{ one: 1 }])
  t.notMatch(await readdir(directory), ['postgres.new-Ab12Cd'])
})

t.test(
  'a directory name may be long and contain characters that are special in shells or URLs',
  async (t) => {
    const directory = join(await newDirectory(t), `it's $HOME "%40 é ${'x'.repeat(120)}`)
    const database = await start(t, directory)
    t.same(await query(database.url, 'select 1 as one'), [{ one: 1 }])
    await database.stop()
  },
)

t.test('the password is in no file that others can read, and on no command line', async (t) => {
  const { password } = new URL(url)
  t.ok(password.length >= 22)
  for (const name of await readdir(running)) {
    const { mode } = await stat(join(running, name))
    t.equal(mode & 0o077, 0, name)
  }
  t.equal((await stat(running)).mode & 0o066, 0)
  t.notOk((await readFile(join(running, 'postgres.log'), 'utf8')).includes(password))
  t.notOk((await readFile(`/proc/${pid}/cmdline`, 'utf8')).includes(password))
})

t.test('a wrong password does not get in', async (t) => {
  const guess = new URL(url)
  guess.password = 'guess'
  await t.rejects(query(guess.href, 'select 1'), { code: '28P01' })
})

t.test('the server listens on loopback only', async (t) => {
  const { hostname, port } = new URL(url)
  t.equal(hostname, '127.0.0.1')
  const others = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  for (const { address } of others.filter((other) => other.family === 'IPv4' && !other.internal)) {
    await t.rejects(once(connect(Number(port), address), 'connect'), { code: 'ECONNREFUSED' })
  }
  const [setting] = await query(url, "select current_setting('listen_addresses') as addresses")
  t.same(setting, { addresses: '127.0.0.1' })
})

t.test('the database is durable, in UTF-8 and UTC, and its user is not a superuser', async (t) => {
  const expected = {
    fsync: 'on',
    data_checksums: 'on',
    server_encoding: 'UTF8',
    max_connections: '200',
    TimeZone: 'UTC',
    password_encryption: 'scram-sha-256',
    is_superuser: 'off',
  }
  for (const [name, value] of Object.entries(expected)) {
    t.same(await query(url, `select current_setting('${name}') as value`), [{ value }], name)
  }
  const [locale] = await query(url, 'select datlocprovider, datlocale from pg_database limit 1')
  t.same(locale, { datlocprovider: 'b', datlocale: 'C.UTF-8' })
})

t.test('the server is in a session of its own, out of reach of Ctrl-C', async (t) => {
  const processStatus = await readFile(`/proc/${pid}/stat`, 'utf8')
  const [, , group, session] = processStatus.slice(processStatus.lastIndexOf(')') + 2).split(' ')
  t.same([group, session], [`${pid}`, `${pid}`])
})

t.test('a failed start says why in a sentence, and the next one succeeds', async (t) => {
  const directory = await preparedDirectory(t)
  await (await start(t, directory)).stop()
  const failsWith = async (file: string, content: string, message: RegExp) => {
    const good = await readFile(join(directory, file), 'utf8')
    await writeFile(join(directory, file), content)
    await t.rejects(startEmbedded(directory), { message })
    await writeFile(join(directory, file), good)
  }
  const complaint = /^PostgreSQL did not start: .*max_connections/
  await failsWith('postgres/postgresql.auto.conf', 'max_connections = many\n', complaint)
  await failsWith(
    'postgres-password',
    'guess\n',
    /^PostgreSQL did not start: .*password authentication failed/,
  )
  await start(t, directory)
})

t.test('an unusable data directory is rejected with a sentence', async (t) => {
  const directory = await newDirectory(t)
  await writeFile(directory, '')
  await t.rejects(startEmbedded(directory), { message: /^the embedded PostgreSQL cannot use .*EEXIST/ })
})

if (isRoot) {
  t.test('under root the server is not root', async (t) => {
    const { uid } = await stat(`/proc/${pid}`)
    const namespaces = await Promise.all([pid, 'self'].map((id) => readlink(`/proc/${id}/ns/user`)))
    t.ok(uid !== 0 || namespaces[0] !== namespaces[1])
  })

  t.test('in a directory that only root can reach root can start it too', async (t) => {
    const directory = await newDirectory(t)
    await mkdir(directory, { mode: 0o700 })
    const database = await start(t, join(directory, 'data'))
    t.same(await query(database.url, 'select 1 as one'), [{ one: 1 }])
    await database.stop()
  })

  t.test('an ordinary user can start it, and root can go on with the same data', async (t) => {
    const directory = await newDirectory(t)
    const ordinary = await startElsewhere(t, directory, otherUid)
    await query(ordinary.report.url ?? '', 'create table kept as select 42 as answer')
    t.equal((await stat(`/proc/${await postmasterPid(directory)}`)).uid, otherUid)
    t.equal((await stat(directory)).mode & 0o777, 0o700)
    await kill(ordinary.child)
    const root = await start(t, directory)
    t.same(await query(root.url, 'select answer from kept'), [{ answer: 42 }])
    await root.stop()
    t.type((await startElsewhere(t, directory, otherUid)).report.url, 'string')
  })

  t.test('an ordinary user is told that the directory belongs to root', async (t) => {
    const directory = await preparedDirectory(t)
    await (await start(t, directory)).stop()
    const { report } = await startElsewhere(t, directory, otherUid)
    t.match(
      report.error,
      /^the embedded PostgreSQL cannot use .*start Counterfoil as the owner of that directory/,
    )
  })
}

// The command `counterfoil import`, against a service that listens.
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { ServiceUnreachableError } from '../../../src/apply/api.ts'
import { explainExit } from '../../../src/exit.ts'
import { importFile } from '../../../src/import/command.ts'
import { Secret } from '../../../src/shared/secret.ts'
import { longestLine } from '../../../src/tokens/import/schema.ts'
import { failureOf } from '../../support/command.ts'
import { ndjson, readResults, sha256 } from '../../support/import.ts'
import { freePort, run } from '../../support/process.ts'
import { createWorld } from '../../support/world.ts'

const world = await createWorld(t)
const url = await world.app.listen({ host: '127.0.0.1', port: 0 })
const folder = await mkdtemp(join(tmpdir(), 'counterfoil-import-'))
t.teardown(() => rm(folder, { recursive: true }))

let made = 0
const lines = (count: number) =>
  Array.from({ length: count }, () => {
    made += 1
    return { sha256: sha256(`secret-for-the-command-${made}`), type: 'api', name: `By command ${made}` }
  })

async function save(name: string, content: string): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

type Options = { url: string; token: string; organization: string; dryRun: boolean; json: boolean }

/** Imports as the command does; pauses end at once. */
async function importing(text: string, options: Partial<Options> = {}) {
  const { token, organization, dryRun, json } = {
    token: world.admin,
    organization: 'default',
    dryRun: false,
    json: false,
    ...options,
  }
  const pauses: number[] = []
  let output = ''
  const counts = await importFile(Readable.from([Buffer.from(text)]), {
    organization,
    dryRun,
    json,
    service: { url: options.url ?? url, token: new Secret(token) },
    async print(some) {
      output += some
    },
    async pause(ms) {
      pauses.push(ms)
    },
  }).catch((error: Error) => error)
  return { counts, output, pauses }
}

t.test('a file is imported, and found imported the next time', async (t) => {
  const text = ndjson(lines(3))
  t.match(await importing(text, { dryRun: true }), {
    counts: { created: 3, exists: 0, invalid: 0 },
    output: 'Created: 3, existed before: 0, invalid: 0. Nothing was stored: this was a dry run.\n',
  })
  t.match(await importing(text), { counts: { created: 3 }, pauses: [] }, 'a dry run stores nothing')
  t.match(await importing(text), {
    counts: { created: 0, exists: 3, invalid: 0 },
    output: 'Created: 0, existed before: 3, invalid: 0.\n',
  })
  t.match(await importing('\n'), { counts: { created: 0, exists: 0, invalid: 0 } })
})

t.test('invalid lines are printed with their number in the file, and the others are imported', async (t) => {
  const [one, two, three] = lines(3).map((line) => JSON.stringify(line))
  const text = `${one}\n\n{}\n${'x'.repeat(1024 * 1024 + 1)}\n${two}\nno JSON\n${three}`
  const inText = await importing(text, { dryRun: true })
  const [missing, long, malformed, ...rest] = inText.output.split('\n')
  t.match(missing, /^Line 3: sha256 is required/)
  t.match(long, /^Line 4: .* longer than 1048576 bytes/)
  t.match(malformed, /^Line 6: .* not valid JSON/)
  t.match(rest, [/^Created: 3, existed before: 0, invalid: 3\./, ''])

  const { results, summary } = readResults((await importing(text, { json: true })).output)
  t.match(results, [
    { line: 1, status: 'created', token: /-/ },
    { line: 3, status: 'invalid', errors: [{ field: 'sha256' }] },
    { line: 4, status: 'invalid', code: 'invalid_request' },
    { line: 5, status: 'created' },
    { line: 6, status: 'invalid' },
    { line: 7, status: 'created' },
  ])
  t.same(summary, { lines: 6, created: 3, exists: 0, invalid: 3, dry_run: false, complete: true })
})

/**
 * Passes connections on to the service. It ends the first one just before the given text of the response; `then` says
 * what becomes of later ones. Returns its URL, and what was sent over each connection.
 */
async function cutting(t: Test, before: string, then: 'pass' | 'close') {
  const requests: string[] = []
  const sockets: Socket[] = []
  const proxy = createServer((client) => {
    const number = requests.push('') - 1
    if (number > 0 && then === 'close') return void client.destroy()
    const upstream = connect(Number(new URL(url).port), '127.0.0.1')
    sockets.push(client, upstream)
    for (const socket of [client, upstream]) socket.on('error', () => {})
    client.on('close', () => upstream.destroy())
    client.on('data', (data) => {
      requests[number] = `${requests[number]}${data}`
      upstream.write(data)
    })
    let passed = ''
    upstream.on('data', (data: Buffer) => {
      const from = passed.length
      passed += data.toString('latin1')
      const cut = number === 0 ? passed.indexOf(before) : -1
      if (cut === -1) return void client.write(data)
      upstream.destroy()
      client.end(data.subarray(0, cut - from))
    })
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, requests }
}

t.test('an import resumes at the first unanswered line after its connection was cut', async (t) => {
  const text = ndjson(lines(250))
  const proxy = await cutting(t, '{"line":151,', 'pass')
  const { counts, output, pauses } = await importing(text, { url: proxy.url, json: true })
  const { results, summary } = readResults(output)
  t.same(
    results.map(({ line }) => line),
    Array.from({ length: 250 }, (_, index) => index + 1),
  )
  t.match(summary, { lines: 250, invalid: 0, complete: true })
  t.match(counts, { invalid: 0 })
  t.same(
    proxy.requests.map((sent) => sent.split('"sha256"').length - 1),
    [250, 100],
    'and sends only the unanswered lines again',
  )
  t.same(pauses, [1_000])
  t.match((await importing(text)).counts, { exists: 250 })
})

t.test('the command reads no further ahead of the answers than it can send again', async (t) => {
  const line = Buffer.from(`${'x'.repeat(longestLine)}\n`)
  const total = 80
  let read = 0
  let answered = 0
  let ahead = 0
  async function* file() {
    for (; read < total; read++) {
      ahead = Math.max(ahead, read - answered)
      yield line
    }
  }
  const counts = await importFile(file(), {
    organization: 'default',
    dryRun: false,
    json: true,
    service: { url, token: new Secret(world.admin) },
    async print() {
      answered += 1
    },
    pause: () => Promise.resolve(),
  })
  t.same(counts, { created: 0, exists: 0, invalid: total })
  t.ok(ahead <= 65, `${ahead} lines of 1 MiB`)
})

t.test('an import gives up after some attempts, and says that it is incomplete', async (t) => {
  const text = ndjson(lines(150))
  const proxy = await cutting(t, '{"line":101,', 'close')
  const { counts, output, pauses } = await importing(text, { url: proxy.url })
  t.type(counts, ServiceUnreachableError)
  t.match(explainExit(counts), { code: 69, message: /^The service at .+ cannot be reached: / })
  t.same(pauses, [1_000, 2_000, 4_000, 8_000, 16_000])
  t.equal(output, 'The import is incomplete. Created: 100, existed before: 0, invalid: 0.\n')
  t.match((await importing(text)).counts, { invalid: 0 }, 'the next run completes it')
})

t.test('an import that the service rejects as a whole ends with its reason', async (t) => {
  const text = ndjson(lines(20_000))
  const reader = await world.manager(['tokens:read'])
  const wrong: [Partial<Options>, RegExp][] = [
    [{ token: 'not-the-token-of-the-administrator' }, /: 401 /],
    [{ token: reader }, /: 403 /],
    [{ organization: 'nonesuch' }, /: 404 /],
    [{ organization: '../no' }, /: 4\d\d /],
  ]
  for (const [options, says] of wrong) {
    const { counts, output, pauses } = await importing(text, options)
    const { code, message } = explainExit(counts)
    t.equal(code, 78)
    t.match(message, says)
    t.notMatch(message, /\n|not-the-token/)
    t.equal(output, '')
    t.same(pauses, [])
  }
})

t.test('the command reads standard input and ends with 1 if a line is invalid', async (t) => {
  const token = await save('token', `${world.admin}\n`)
  const target = ['--organization', 'default', '--url', `${url}/`, '--token-file', token]
  const started = run(t, ['import', '-', ...target], {})
  started.child.stdin?.end(`{}\n${ndjson(lines(2))}`)
  t.equal((await started.exit).code, 1)
  t.match(started.output(), /^Line 1: .+\nCreated: 2, existed before: 0, invalid: 1\.\n$/)
})

t.test('a file or a service that cannot be used ends the command with a sentence', async (t) => {
  const file = await save('any.ndjson', ndjson(lines(1)))
  const organization = ['--organization', 'default']
  const wrong: [string[], number, RegExp][] = [
    [[join(folder, 'nonesuch'), ...organization], 78, /nonesuch/],
    [
      [file, ...organization, '--url', `http://127.0.0.1:${await freePort()}`],
      69,
      /The service at .+ cannot be reached: .*ECONNREFUSED/,
    ],
    [[file], 64, /needs --organization/],
    [organization, 64, /needs a file/],
    [[file, ...organization, '--immediately'], 64, /--immediately is not an option of import/],
  ]
  for (const [args, code, says] of wrong) {
    const failure = await failureOf(['import', ...args], { ADMIN_TOKEN: world.admin })
    t.match(failure, { code, message: says })
    t.match(failure.message, /^[^\n]+$/)
  }
})

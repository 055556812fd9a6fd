import pg from 'pg'

const parts = /^(postgres(?:ql)?:\/\/(?:[^/?#]*@)?)([^/?#@]*)(.*)$/s

/**
 * One URL per server, for URLs with several hosts as in libpq: `postgres://user@one:5432,two:5432/db`. pg supports only
 * one host.
 */
export function serversOf(url: string): string[] {
  const [, scheme, hosts = '', rest] = parts.exec(url) ?? []
  return hosts.includes(',') ? hosts.split(',').map((host) => `${scheme}${host}${rest}`) : [url]
}

/**
 * Why a URL cannot be used, if so. The message contains no part of the URL: with special characters in a password, what
 * looks like a host may be part of the password.
 */
export function databaseUrlProblem(url: string): string | undefined {
  if (!/^\w+:\/\/([^@/?#]*@)?[^@#]*$/.test(url))
    return 'has a raw @, /, # or ? in the wrong place: percent-encode special characters in the user name and password'
  const servers = serversOf(url)
  if (servers.length > 1 && !servers.every((one) => URL.canParse(one)))
    return 'must list its hosts as host1:5432,host2:5432'
  for (const connectionString of servers) {
    const problem = parseProblem(connectionString)
    if (problem) return problem
  }
  const wanted = new URLSearchParams(url.split('?')[1])
  const role = wanted.get('target_session_attrs') ?? 'read-write'
  if (role !== 'read-write' && role !== 'primary')
    return 'has a target_session_attrs other than read-write or primary: Counterfoil needs a primary'
  if (wanted.get('host')?.includes(',') || wanted.get('port')?.includes(','))
    return 'has several hosts among its parameters: write them before the path, as in host1:5432,host2:5432'
  return undefined
}

/** pg's message about a URL that it cannot parse contains parts of the URL, so it is replaced. */
function parseProblem(connectionString: string): string | undefined {
  try {
    const { port } = new pg.Client({ connectionString })
    if (port >= 1 && port <= 65_535) return undefined
  } catch (error) {
    const { syscall, code } = error as NodeJS.ErrnoException
    if (syscall) return `names a certificate or key file that cannot be read (${code})`
  }
  return 'must have the form postgres://user:password@host:5432/database: percent-encode special characters in the user name and password'
}

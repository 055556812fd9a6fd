const parts = /^(postgres(?:ql)?:\/\/(?:[^/?#]*@)?)([^/?#@]*)(.*)$/s

/**
 * One URL for each server that a URL names, as libpq has it: `postgres://user@one:5432,two:5432/db`. pg itself
 * understands one host only.
 */
export function serversOf(url: string): string[] {
  const [, scheme, hosts = '', rest] = parts.exec(url) ?? []
  return hosts.includes(',') ? hosts.split(',').map((host) => `${scheme}${host}${rest}`) : [url]
}

/** Why a URL does not lead to a primary, if it cannot. */
export function hostsProblem(url: string): string | undefined {
  const servers = serversOf(url)
  if (servers.length > 1 && !servers.every((one) => URL.canParse(one)))
    return 'has a list of hosts that is not of the form host1:5432,host2:5432'
  const wanted = new URLSearchParams(url.split('?')[1])
  const role = wanted.get('target_session_attrs') ?? 'read-write'
  if (role !== 'read-write' && role !== 'primary')
    return 'has another target_session_attrs than read-write or primary: Counterfoil asks a primary only'
  if (wanted.get('host')?.includes(',') || wanted.get('port')?.includes(','))
    return 'has several hosts among its parameters: name them in front of the path, as in host1:5432,host2:5432'
  return undefined
}

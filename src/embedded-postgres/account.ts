import { readFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { type Account, run } from './command.ts'
import { EmbeddedError } from './error.ts'

export type Owner = { uid: number; gid: number }

const ourselves: Account = { prefix: [] }

// Root for the file system but not for PostgreSQL: for directories that only root can reach.
const disguisedRoot: Account = { prefix: ['unshare', '--user', '--map-user=65534', '--map-group=65534'] }

export function currentUid(): number {
  try {
    return userInfo().uid
  } catch {
    throw new EmbeddedError(
      'the current user has no name on this system, and PostgreSQL needs one: set DATABASE_URL',
    )
  }
}

/** PostgreSQL refuses to run as root, so root runs it as the owner of its cluster or as an unprivileged user. */
export async function chooseAccount(dataDir: string, postgres: string, owner?: Owner): Promise<Account> {
  if (currentUid() !== 0) return ourselves
  for (const account of owner ? [accountOf(owner)] : [await unprivileged(), disguisedRoot]) {
    if (await canUse(account, dataDir, postgres)) return account
  }
  throw new EmbeddedError(
    `PostgreSQL does not run as root, and no other user can reach both ${dataDir} and ${postgres}: ` +
      'start Counterfoil as an ordinary user, or outside private directories such as /root, or set DATABASE_URL',
  )
}

function accountOf({ uid, gid }: Owner): Account {
  return uid === 0 ? disguisedRoot : { prefix: [], uid, gid }
}

async function unprivileged(): Promise<Account> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  const user = users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody')
  if (!user) throw new EmbeddedError('PostgreSQL does not run as root: start Counterfoil as an ordinary user')
  return { prefix: [], uid: Number(user[2]), gid: Number(user[3]) }
}

async function canUse(account: Account, dataDir: string, postgres: string): Promise<boolean> {
  const attempt = await run(account, '/bin/sh', ['-c', 'cd -- "$0" && "$1" --version', dataDir, postgres])
  return attempt.code === 0
}

import { type Permission, permissions } from '../../src/access/permissions.ts'
import { generateSecret } from '../../src/shared/secret.ts'
import { recordSecret } from '../support/records.ts'
import { day, type World } from '../support/world.ts'

/** A client: without a good credential, or with a good one of that organization and those permissions. */
export type Caller = { name: string; token: string; good?: Standing | undefined }
export type Standing = { home: 'default' | 'platform' | 'other'; holds: Permission[]; owner: string }

export const owner = { subject: 'u-4711', email: 'ada@example.com' }

const ofOrganizations = permissions.filter((permission) => permission !== 'platform:admin')

/** Every caller that the access matrix has a column for. */
export async function makeCallers(world: World): Promise<Caller[]> {
  for (const key of ['other', 'closed']) {
    await world.ask('POST', '/v1/organizations', { body: { key, name: key } })
  }
  return [...(await withoutCredential(world)), ...(await withPermissions(world))]
}

async function withoutCredential(world: World): Promise<Caller[]> {
  const manager = (organization: string, more: object) =>
    world.issue({ type: 'management', scopes: ofOrganizations, owner, ...more }, organization)
  const soon = new Date(world.clock.now.getTime() + day).toISOString()
  const late = new Date(world.clock.now.getTime() + 30 * day).toISOString()
  const gone = await manager('default', { name: 'Deleted' })
  const revoked = await manager('default', { name: 'Revoked' })
  const expired = await manager('default', { name: 'Expired', expires_at: soon })
  const early = await manager('default', { name: 'Early', not_before: late })
  const suspended = await manager('closed', { name: 'Suspended' })
  const items = '/v1/organizations/default/tokens'
  await world.ask('DELETE', `${items}/${gone.id}`)
  await world.ask('POST', `${items}/${revoked.id}/revoke`)
  await world.ask('POST', '/v1/organizations/closed/suspend')
  world.clock.advance(2 * day)
  const unknown = generateSecret('cfm').reveal()
  recordSecret(unknown)
  return [
    { name: 'nobody', token: '' },
    { name: 'a well-formed token that was never issued', token: unknown },
    { name: 'a token with a typo', token: `${unknown.slice(0, -1)}${unknown.endsWith('0') ? '1' : '0'}` },
    { name: 'garbage', token: 'garbage' },
    { name: 'a deleted token', token: gone.secret },
    { name: 'a revoked token', token: revoked.secret },
    { name: 'an expired token', token: expired.secret },
    { name: 'a token not yet valid', token: early.secret },
    { name: 'a token of a suspended organization', token: suspended.secret },
  ]
}

async function withPermissions(world: World): Promise<Caller[]> {
  const make = async (name: string, standing: Standing, type = 'management'): Promise<Caller> => {
    const input = { name, type, scopes: standing.holds, owner: { ...owner, subject: standing.owner } }
    const { secret } = await world.issue(input, standing.home)
    const carried = type === 'management' ? standing.holds : []
    return { name, token: secret, good: { ...standing, holds: carried } }
  }
  const callers: Caller[] = []
  for (const home of ['default', 'platform'] as const) {
    const here = { home, owner: owner.subject }
    for (const permission of ofOrganizations) {
      const others = ofOrganizations.filter((other) => other !== permission)
      callers.push(await make(`${home}: only ${permission}`, { ...here, holds: [permission] }))
      callers.push(await make(`${home}: all but ${permission}`, { ...here, holds: others }))
    }
    callers.push(await make(`${home}: all but platform:admin`, { ...here, holds: ofOrganizations }))
  }
  const everything = { home: 'default', owner: owner.subject, holds: [...permissions] } as const
  return [
    ...callers,
    await make('platform: only platform:admin', {
      home: 'platform',
      owner: owner.subject,
      holds: ['platform:admin'],
    }),
    await make("another user's tokens:own", { home: 'default', owner: 'u-9', holds: ['tokens:own'] }),
    await make('a token that is not for management', { ...everything, holds: [...permissions] }, 'api'),
    await make("another organization's administrator", {
      home: 'other',
      owner: owner.subject,
      holds: ofOrganizations,
    }),
  ]
}

import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import { day, type World } from '../support/world.ts'
import { startReceiver } from '../webhooks/receiver.ts'

/** An organization as it looks after some years: tokens of every status, used and unused, with long names and short. */
export async function seed(t: Test, world: World): Promise<void> {
  const { sql, issue, ask } = world
  await ask('PATCH', '/v1/organizations/default/policy', {
    body: { lifetime: { maximum_days: 3652, on_too_long: 'reduce', allow_no_expiry: false } },
  })
  const owner = { subject: 'u-4711', email: 'ada@example.com' }
  const grace = { subject: 'u-4712', email: 'grace@example.com' }
  const at = (days: number) => new Date(world.clock.now.getTime() + days * day).toISOString()
  const make = async (
    input: Record<string, unknown>,
    { left, used, created = -200 }: { left?: number; used?: number; created?: number } = {},
  ) => {
    const { id } = await issue({ lifetime_days: 365, ...input })
    await sql('update tokens set created_at = $2 where id = $1', [id, at(created)])
    await sql('update token_secrets set created_at = $2 where token_id = $1', [id, at(created)])
    if (left !== undefined) await sql('update tokens set expires_at = $2 where id = $1', [id, at(left)])
    if (used !== undefined)
      await sql(
        `insert into token_uses (organization_id, token_id, first_used_at, last_used_at, last_used_ip, use_count)
          select organization_id, id, created_at, $2, '192.0.2.17', 48213 from tokens where id = $1
          on conflict (organization_id, token_id) do update
          set last_used_at = excluded.last_used_at, last_used_ip = excluded.last_used_ip, use_count = excluded.use_count`,
        [id, at(used)],
      )
    return id as string
  }
  const longest = 'Nightly export of risk assessments to the data warehouse of the group, EU and APAC '
    .repeat(3)
    .trim()
  await make({ name: longest, type: 'api', scopes: ['risks:read', 'exports:write'], owner }, { used: -2 })
  await make({ name: 'Okta SCIM connector', type: 'scim' }, { left: 211, used: -0.002 })
  await make(
    { name: 'Entra ID provisioning', type: 'scim', comment: 'CHG-1042, identity team' },
    { left: 26, used: -0.1 },
  )
  await make({ name: 'Assistant, EU cluster', type: 'mcp', scopes: ['tools:call'] }, { left: 3.5, used: -1 })
  await make({ name: 'Deploy previews', type: 'api', scopes: ['deploy:write'] }, { left: 0.4, used: -0.01 })
  await make({ name: 'Status page', type: 'api', scopes: ['read'], owner }, { used: -140 })
  await make({ name: 'Old reporting job', type: 'api' }, { left: -12, used: -40 })
  await make({ name: 'Trial of the assistant', type: 'mcp' }, { left: -90 })
  const leaked = await make({ name: 'Found in a public repository', type: 'api' }, { used: -30 })
  await ask('POST', `/v1/organizations/default/tokens/${leaked}/revoke`, {
    body: { reason: 'It was in a public repository.' },
  })
  for (const name of ['Backups', 'Billing sync', 'Grafana', 'Jira automation', 'Terraform', 'Zapier'])
    await make(
      { name, type: 'api', scopes: ['read'], ...(name === 'Zapier' && { owner: grace }) },
      { left: 40 + name.length * 20, used: -name.length / 3 },
    )
  await seedWebhooks(t, world)
  const hook = createHash('sha256')
    .update(await secretOf(world))
    .digest('hex')
  for (const url of ['https://git.example/app/blob/main/.env', 'https://git.example/app/blob/fork/.env'])
    await ask('POST', '/v1/leaks', { body: { sha256: hook, source: 'nightly repository scan', url } })
  await ask('POST', '/v1/organizations/default/token-types', {
    body: {
      name: 'user-management',
      prefix: 'um',
      description: 'Users and groups',
      allowed_scopes: ['um:read', 'um:write'],
      scope_details: [{ scope: 'um:read', label: 'Read', description: 'See users and groups' }],
    },
  })
  await ask('POST', '/v1/organizations/default/issuers', {
    body: {
      name: 'Company login',
      issuer: 'https://login.example/realms/acme',
      audience: 'counterfoil',
      default_permissions: ['tokens:own'],
    },
  })
}

async function secretOf({ issue }: World): Promise<string> {
  return (await issue({ name: 'CI pipeline', type: 'api', lifetime_days: 365 })).secret
}

/** A webhook that works, one that fails and one that waits, with what was sent to them. */
async function seedWebhooks(t: Test, { ask, sql, dispatcher, issue }: World): Promise<void> {
  const webhooks = '/v1/organizations/default/webhooks'
  const receiver = await startReceiver(t, ({ path }, response) => {
    response.writeHead(path === '/good' ? 204 : 503).end()
  })
  const events = ['token.created', 'token.expiring', 'token.revoked']
  await ask('POST', webhooks, { body: { url: `${receiver.url}/good`, description: 'Ticket system' } })
  await ask('POST', webhooks, { body: { url: `${receiver.url}/bad`, events, signature: 'ed25519' } })
  const { body } = await ask('POST', webhooks, { body: { url: `${receiver.url}/paused`, events } })
  await ask('PATCH', `${webhooks}/${body.id}`, { body: { paused: true } })
  const { id } = await issue({ name: 'Load test', type: 'api', lifetime_days: 30 })
  await ask('POST', `/v1/organizations/default/tokens/${id}/revoke`)
  await dispatcher.flush()
  // The pictures show where such URLs lead in life.
  await sql(`update webhooks set url = replace(url, '${receiver.url}', 'https://hooks.example.com')`)
}

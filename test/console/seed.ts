import { day, type World } from '../support/world.ts'

/** An organization as it looks after some years: tokens of every status, used and unused, with long names and short. */
export async function seed(world: World): Promise<void> {
  const { sql, issue, ask } = world
  await ask('PATCH', '/v1/organizations/default/policy', {
    body: { lifetime: { maximum_days: 3652, on_too_long: 'reduce', allow_no_expiry: false } },
  })
  const owner = { subject: 'u-4711', email: 'ada@example.com' }
  const at = (days: number) => new Date(world.clock.now.getTime() + days * day).toISOString()
  const make = async (
    input: Record<string, unknown>,
    { left, used, created = -200 }: { left?: number; used?: number; created?: number } = {},
  ) => {
    const { id } = await issue({ lifetime_days: 365, ...input })
    await sql('update tokens set created_at = $2 where id = $1', [id, at(created)])
    if (left !== undefined) await sql('update tokens set expires_at = $2 where id = $1', [id, at(left)])
    if (used !== undefined)
      await sql(
        `insert into token_uses (organization_id, token_id, first_used_at, last_used_at, last_used_ip, use_count)
          select organization_id, id, created_at, $2, '192.0.2.17', 48213 from tokens where id = $1
          on conflict (organization_id, token_id) do update set last_used_at = excluded.last_used_at`,
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
      { name, type: 'api', scopes: ['read'] },
      { left: 40 + name.length * 20, used: -name.length / 3 },
    )
}

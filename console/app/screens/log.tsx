import { basePath } from '../base.ts'
import { organizationPath, setQuery } from '../router.ts'
import type { ScreenProps } from '../shell.tsx'
import { Heading } from '../ui.tsx'
import { words } from '../words.ts'
import { type ChangeQuery, Changes } from './changes.tsx'

const actions: NonNullable<ChangeQuery['action']>[] = [
  'token.created',
  'token.imported',
  'token.updated',
  'token.rotated',
  'token.rotation_activated',
  'token.rotation_finished',
  'token.rotation_cancelled',
  'token.revoked',
  'token.deleted',
  'token.leaked',
  'token.superseded_secret_used',
  'owner.provisioned',
  'owner.updated',
  'owner.suspended',
  'owner.resumed',
  'owner.deprovisioned',
  'owner.signal_received',
  'policy.updated',
  'token_type.created',
  'token_type.updated',
  'token_type.suspended',
  'token_type.resumed',
  'token_type.deleted',
  'trusted_issuer.created',
  'trusted_issuer.updated',
  'trusted_issuer.deleted',
  'session.created',
  'session.rejected',
  'session.updated',
  'session.ended',
  'signal_stream.created',
  'signal_stream.updated',
  'signal_stream.deleted',
  'webhook.created',
  'webhook.updated',
  'webhook.secret_rotated',
  'webhook.tested',
  'webhook.replayed',
  'webhook.disabled',
  'webhook.deleted',
  'client_keys.replaced',
  'client_keys.deleted',
  'organization.created',
  'organization.updated',
  'organization.suspended',
  'organization.resumed',
  'organization.deleted',
  'signing_key.rotated',
  'signing_key.retired',
  'signing_key.rewrapped',
]

/** The change log with filters, which also apply to the export. */
export default function Log({ organization, place }: ScreenProps) {
  const given = Object.fromEntries(place.query)
  const change = (member: Record<string, string>) => setQuery({ ...given, ...member })
  const at = (day: string | undefined, days = 0) => {
    if (!day) return undefined
    const date = new Date(`${day}T00:00:00`)
    date.setDate(date.getDate() + days)
    return date.toISOString()
  }
  const query: Record<string, string> = {}
  for (const [name, value] of [
    ['action', given.action],
    ['from', at(given.from)],
    // The range includes the last day.
    ['to', at(given.to, 1)],
    ['target', given.target],
    ['actor', given.actor],
  ] as const)
    if (value) query[name] = value
  const url = `${basePath}/v1${organizationPath(organization, '/audit-events/export')}?${new URLSearchParams(query)}`
  return (
    <>
      <Heading
        title={words.changes.title}
        actions={
          <a class="button" href={url} download={`${organization}-changes.jsonl`}>
            {words.changes.export}
          </a>
        }
      >
        {words.changes.title}
      </Heading>
      <search class="filters">
        <select
          aria-label={words.changes.action}
          value={given.action ?? ''}
          onChange={(event) => change({ action: event.currentTarget.value })}
        >
          <option value="">{words.changes.allActions}</option>
          {actions.map((action) => (
            <option key={action} value={action}>
              {words.action(action)}
            </option>
          ))}
        </select>
        <label class="inline">
          {words.changes.from}
          <input
            type="date"
            value={given.from ?? ''}
            onChange={(event) => change({ from: event.currentTarget.value })}
          />
        </label>
        <label class="inline">
          {words.changes.to}
          <input
            type="date"
            value={given.to ?? ''}
            onChange={(event) => change({ to: event.currentTarget.value })}
          />
        </label>
      </search>
      <Changes organization={organization} query={query as ChangeQuery} />
    </>
  )
}

import { api, done, type Shapes } from '../api.ts'
import type { paths } from '../openapi.d.ts'
import { Failure, Instant, usePages } from '../ui.tsx'
import { words } from '../words.ts'

type Operation = paths['/v1/organizations/{organization}/audit-events']['get']
export type ChangeQuery = Omit<NonNullable<Operation['parameters']['query']>, 'limit' | 'cursor'>

type ChangesProps = {
  organization: string
  query: ChangeQuery
  /** The target of the changes; another target loads other changes. */
  version?: string | null
}

/** A part of the change log, newest first, with more on demand. */
export function Changes({ organization, query, version = '' }: ChangesProps) {
  const { items, error, reload, more } = usePages(
    `changes ${organization} ${JSON.stringify(query)} ${version}`,
    (cursor, signal) =>
      done(
        api.GET('/v1/organizations/{organization}/audit-events', {
          params: { path: { organization }, query: { ...query, limit: 50, ...cursor } },
          signal,
        }),
      ),
  )
  if (error) return <Failure error={error} retry={reload} />
  if (items?.length === 0) return <p class="muted">{words.changes.none}</p>
  return (
    <>
      <ol class="changes">
        {items?.map((event) => (
          <Change key={event.id} event={event} />
        ))}
      </ol>
      {more && (
        <button type="button" onClick={more}>
          {words.changes.more}
        </button>
      )}
    </>
  )
}

function Change({ event }: { event: Shapes['AuditEvent'] }) {
  const { actor, changes } = event
  const names = changes ? [...new Set([...Object.keys(changes.before), ...Object.keys(changes.after)])] : []
  return (
    <li>
      <p>
        <strong>{words.action(event.action)}</strong> <span class="target">{event.target.name}</span>
      </p>
      <p class="help">
        {words.changes.by(actor.name)} · <Instant at={event.occurred_at} />
        {event.ip && ` · ${event.ip}`}
        {event.on_behalf_of && ` · ${words.changes.onBehalfOf(event.on_behalf_of)}`}
      </p>
      {names.length > 0 && (
        <details>
          <summary>{words.changes.values(names.length)}</summary>
          <dl class="values">
            {names.map((name) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>
                  {changes?.before[name] !== undefined && <del>{shown(changes.before[name])}</del>}{' '}
                  {changes?.after[name] !== undefined && <ins>{shown(changes.after[name])}</ins>}
                </dd>
              </div>
            ))}
          </dl>
        </details>
      )}
    </li>
  )
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

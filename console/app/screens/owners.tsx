import { useState } from 'preact/hooks'
import { api, done, type Shapes } from '../api.ts'
import { hrefOf, organizationPath, setQuery } from '../router.ts'
import type { ScreenProps } from '../shell.tsx'
import { TypedFilter } from '../tokens.tsx'
import { Empty, Failure, Heading, Skeleton, useLoad } from '../ui.tsx'
import { words } from '../words.ts'

export default function Owners({ organization, place }: ScreenProps) {
  const [more, setMore] = useState<Shapes['OwnerPage'][]>([])
  const given = Object.fromEntries(place.query)
  const change = (member: Record<string, string>) => setQuery({ ...given, ...member })
  const load = (cursor: string | null, signal?: AbortSignal) =>
    done(
      api.GET('/v1/organizations/{organization}/owners', {
        params: {
          path: { organization },
          query: {
            ...(given.search && { search: given.search }),
            ...(given.suspended && { suspended: given.suspended === 'true' }),
            ...(cursor && { cursor }),
          },
        },
        ...(signal && { signal }),
      }),
    )
  const { data, error, reload } = useLoad(`owners ${organization} ${place.query}`, (signal) => {
    setMore([])
    return load(null, signal)
  })
  const pages = data ? [data, ...more] : []
  const items = pages.flatMap((page) => page.items)
  const next = pages.at(-1)?.next_cursor
  return (
    <>
      <Heading>{words.owners.title}</Heading>
      <search class="filters">
        <TypedFilter name="search" label={words.owners.search} query={place.query} change={change} icon />
        <select
          aria-label={words.owners.state}
          value={given.suspended ?? ''}
          onChange={(event) => change({ suspended: event.currentTarget.value })}
        >
          <option value="">{words.owners.all}</option>
          <option value="false">{words.owners.active}</option>
          <option value="true">{words.suspended}</option>
        </select>
      </search>
      {error && <Failure error={error} retry={reload} />}
      {data && items.length === 0 && !next ? (
        <Empty title={words.owners.none}>
          <p>{words.owners.noneHelp}</p>
        </Empty>
      ) : (
        <table class="list owners">
          <caption class="hidden">{words.owners.title}</caption>
          <thead>
            <tr>
              <th scope="col">{words.owners.who}</th>
              <th scope="col">{words.owners.subject}</th>
              <th scope="col">{words.owners.source}</th>
            </tr>
          </thead>
          {!data && !error && <Skeleton rows={4} columns={3} />}
          <tbody>
            {items.map((owner) => (
              <tr key={owner.subject}>
                <th scope="row">
                  <a
                    href={hrefOf(
                      organizationPath(organization, `/owners/${encodeURIComponent(owner.subject)}`),
                    )}
                  >
                    {owner.email ?? owner.subject}
                  </a>
                  {owner.suspended_at && <span class="pill suspended">{words.suspended}</span>}
                </th>
                <td>
                  <code class="clip">{owner.subject}</code>
                </td>
                <td>{words.owners.sources[owner.identity_source]}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {next && (
        <p class="below">
          <button type="button" onClick={async () => setMore([...more, await load(next)])}>
            {words.more}
          </button>
        </p>
      )}
    </>
  )
}

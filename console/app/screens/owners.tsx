import { api, done } from '../api.ts'
import { hrefOf, organizationPath, setQuery } from '../router.ts'
import type { ScreenProps } from '../shell.tsx'
import { TypedFilter } from '../tokens.tsx'
import { Empty, Failure, Heading, More, Skeleton, usePages } from '../ui.tsx'
import { words } from '../words.ts'

export default function Owners({ organization, place }: ScreenProps) {
  const given = Object.fromEntries(place.query)
  const change = (member: Record<string, string>) => setQuery({ ...given, ...member })
  const { items, error, reload, more } = usePages(`owners ${organization} ${place.query}`, (cursor, signal) =>
    done(
      api.GET('/v1/organizations/{organization}/owners', {
        params: {
          path: { organization },
          query: {
            ...(given.search && { search: given.search }),
            ...(given.suspended && { suspended: given.suspended === 'true' }),
            ...cursor,
          },
        },
        signal,
      }),
    ),
  )
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
      {items?.length === 0 && !more ? (
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
          {!items && !error && <Skeleton rows={4} columns={3} />}
          <tbody>
            {items?.map((owner) => (
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
                <td class="clip" data-label={words.owners.subject}>
                  <code>{owner.subject}</code>
                </td>
                <td data-label={words.owners.source}>{words.owners.sources[owner.identity_source]}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <More load={more} />
    </>
  )
}

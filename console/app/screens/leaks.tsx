import { api, done, type Shapes } from '../api.ts'
import { hrefOf, organizationPath } from '../router.ts'
import type { ScreenProps } from '../shell.tsx'
import { Empty, Failure, Heading, Instant, More, Skeleton, usePages } from '../ui.tsx'
import { words } from '../words.ts'

/** Leak reports: all, or those of one token. */
export default function Leaks({ organization, place }: ScreenProps) {
  const token = place.query.get('token') ?? ''
  const { items, error, reload, more } = usePages(`leaks ${organization} ${token}`, (cursor, signal) =>
    done(
      api.GET('/v1/organizations/{organization}/leaks', {
        params: { path: { organization }, query: { ...(token && { token }), limit: 50, ...cursor } },
        signal,
      }),
    ),
  )
  const path = organizationPath(organization, '/leaks')
  const all = <a href={hrefOf(path)}>{words.leaks.showAll}</a>
  return (
    <>
      <Heading>{words.leaks.title}</Heading>
      {token && items?.[0] && (
        <p class="lead">
          {words.leaks.onlyOf(items[0].token_name)} · {all}
        </p>
      )}
      {error && <Failure error={error} retry={reload} />}
      {items?.length === 0 ? (
        <Empty title={token ? words.leaks.noneOf : words.leaks.none}>
          {token ? all : <p>{words.leaks.noneHelp}</p>}
        </Empty>
      ) : (
        <table class="list leaks">
          <caption class="hidden">{words.leaks.title}</caption>
          <thead>
            <tr>
              <th scope="col">{words.leaks.token}</th>
              <th scope="col">{words.leaks.hint}</th>
              <th scope="col">{words.leaks.source}</th>
              <th scope="col">{words.leaks.reaction}</th>
              <th scope="col">{words.leaks.reported}</th>
            </tr>
          </thead>
          {!items && !error && <Skeleton rows={3} columns={5} />}
          <tbody>
            {items?.map((leak) => (
              <tr key={leak.id}>
                <th scope="row" title={leak.token_name}>
                  <a href={hrefOf(`${path}/${leak.id}`)}>{leak.token_name}</a>
                </th>
                <td>
                  <code class="muted">{leak.hint}</code>
                </td>
                <td class="clip" data-label={words.leaks.source} title={leak.source}>
                  {leak.source}
                </td>
                <td data-label={words.leaks.reaction}>
                  <Reaction reaction={leak.reaction} />
                </td>
                <td data-label={words.leaks.reported}>
                  <Instant at={leak.last_reported_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <More load={more} />
    </>
  )
}

function Reaction({ reaction }: Pick<Shapes['LeakReport'], 'reaction'>) {
  return <span class={`pill ${words.leaks.pill[reaction]}`}>{words.leaks.short[reaction]}</span>
}

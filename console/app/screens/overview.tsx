import { api, done, type Token } from '../api.ts'
import { formatCount } from '../format.ts'
import { hrefOf, organizationPath } from '../router.ts'
import type { ScreenProps } from '../shell.tsx'
import { Empty, Expiry, Failure, Heading, Instant, useLoad } from '../ui.tsx'
import { words } from '../words.ts'

const kinds = [
  { reason: 'expiring', days: 30, query: { status: 'expiring' } },
  { reason: 'never_used', days: 90, query: { unused: 'never' } },
  { reason: 'unused', days: 90, query: { unused: 'long' } },
] as const

/** Tokens that need attention: the first of each kind, and their numbers. */
export default function Overview({ organization }: ScreenProps) {
  const { data, error, reload } = useLoad(`overview ${organization}`, async (signal) => {
    const [counts, ...pages] = await Promise.all([
      done(
        api.GET('/v1/attention/counts', {
          params: { query: { organization, expiring_days: 30, unused_days: 90 } },
          signal,
        }),
      ),
      ...kinds.map(({ reason, days }) =>
        done(
          api.GET('/v1/attention', { params: { query: { organization, reason, days, limit: 5 } }, signal }),
        ),
      ),
    ])
    return { counts, pages }
  })
  const path = organizationPath(organization, '/tokens')
  return (
    <>
      <Heading>{words.overview.title}</Heading>
      {error && <Failure error={error} retry={reload} />}
      {data?.pages.every(({ items }) => items.length === 0) && (
        <Empty title={words.overview.none}>
          <p>{words.overview.noneHelp}</p>
        </Empty>
      )}
      <div class="cards">
        {data &&
          kinds.map(({ reason, query }, index) => {
            const items = data.pages[index]?.items ?? []
            if (items.length === 0) return null
            return (
              <section key={reason} class="card" aria-label={words.overview[reason].title}>
                <h2>
                  {words.overview[reason].title} <span class="count">{formatCount(data.counts[reason])}</span>
                </h2>
                <p class="help">{words.overview[reason].advice}</p>
                <ul>
                  {items.map((token) => (
                    <li key={token.id}>
                      <a href={hrefOf(`${path}/${token.id}`)}>{token.name}</a>
                      <Why token={token} reason={reason} />
                    </li>
                  ))}
                </ul>
                <p>
                  <a href={hrefOf(path, query)}>{words.overview.all}</a>
                </p>
              </section>
            )
          })}
      </div>
    </>
  )
}

function Why({ token, reason }: { token: Token; reason: (typeof kinds)[number]['reason'] }) {
  if (reason === 'expiring') return <Expiry token={token} />
  return (
    <span>
      <span class="muted">{reason === 'unused' ? words.overview.used : words.overview.created}</span>{' '}
      <Instant at={token.last_used_at ?? token.created_at} />
    </span>
  )
}

import { useState } from 'preact/hooks'
import { api, done, type Shapes } from '../api.ts'
import { announce, Confirm, Failure, Heading, Instant, More, Skeleton, usePages } from '../ui.tsx'
import { words } from '../words.ts'

export default function Sessions() {
  const [ending, setEnding] = useState<Shapes['Session']>()
  const { items, error, reload, more } = usePages('sessions', (cursor, signal) =>
    done(api.GET('/v1/sessions', { params: { query: { limit: 100, ...cursor } }, signal })),
  )
  return (
    <>
      <Heading>{words.sessions.title}</Heading>
      <p class="lead">{words.sessions.help}</p>
      {error && <Failure error={error} retry={reload} />}
      <table class="list sessions">
        <caption class="hidden">{words.sessions.title}</caption>
        <thead>
          <tr>
            <th scope="col">{words.sessions.who}</th>
            <th scope="col">{words.sessions.browser}</th>
            <th scope="col">{words.sessions.seen}</th>
            <th scope="col">{words.sessions.ends}</th>
            <th scope="col">
              <span class="hidden">{words.token.actions}</span>
            </th>
          </tr>
        </thead>
        {!items && !error && <Skeleton rows={3} columns={5} />}
        <tbody>
          {items?.map((session) => (
            <tr key={session.id}>
              <th scope="row">
                <span class="strong">{session.principal.name}</span>
                {session.current && <span class="pill active">{words.sessions.current}</span>}
              </th>
              <td>
                {words.browser(session.user_agent ?? '')} <span class="muted">{session.ip}</span>
              </td>
              <td data-label={words.sessions.seen}>
                <Instant at={session.last_seen_at} />
              </td>
              <td data-label={words.sessions.ends}>
                <Instant at={session.expires_at} />
              </td>
              <td class="end">
                {!session.current && (
                  <button
                    type="button"
                    aria-label={words.sessions.endOf(session.principal.name)}
                    onClick={() => setEnding(session)}
                  >
                    {words.sessions.end}
                  </button>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <More load={more} />
      {ending && (
        <Confirm
          title={words.sessions.endTitle(ending.principal.name)}
          deed={words.sessions.end}
          danger
          onClose={() => setEnding(undefined)}
          act={async () => {
            const path = { session: ending.id }
            await done(api.DELETE('/v1/sessions/{session}', { params: { path } }))
            announce(words.sessions.ended)
            setEnding(undefined)
            reload()
          }}
        >
          <p>{words.sessions.endHelp}</p>
        </Confirm>
      )}
    </>
  )
}

import { useState } from 'preact/hooks'
import { api, done } from '../api.ts'
import { formatLong } from '../format.ts'
import { hrefOf, organizationPath } from '../router.ts'
import { may, useMe } from '../session.ts'
import type { ScreenProps } from '../shell.tsx'
import {
  announce,
  Confirm,
  Expiry,
  Facts,
  Failure,
  Field,
  Heading,
  Instant,
  Notice,
  Status,
  useLoad,
} from '../ui.tsx'
import { words } from '../words.ts'

/** A user and their tokens, which can all be revoked together. */
export default function Owner({ organization, id }: ScreenProps) {
  const me = useMe()
  const [asking, setAsking] = useState<'revoke' | 'suspend' | 'resume'>()
  const path = { organization, subject: id }
  const owner = useLoad(`owner ${organization} ${id}`, (signal) =>
    done(api.GET('/v1/organizations/{organization}/owners/{subject}', { params: { path }, signal })),
  )
  const tokens = useLoad(`tokens of ${organization} ${id}`, (signal) =>
    done(
      api.GET('/v1/organizations/{organization}/tokens', {
        params: { path: { organization }, query: { owner: id, limit: 100 } },
        signal,
      }),
    ),
  )
  const finish = (text: string) => {
    announce(text)
    setAsking(undefined)
    owner.reload()
    tokens.reload()
  }
  const act = async (form: FormData) => {
    if (asking === 'revoke') {
      const reason = String(form.get('reason') ?? '').trim()
      const { revoked } = await done(
        api.POST('/v1/organizations/{organization}/owners/{subject}/revoke-tokens', {
          params: { path },
          body: reason ? { reason } : {},
        }),
      )
      finish(words.owners.revoked(revoked))
    } else if (asking === 'suspend') {
      await done(api.POST('/v1/organizations/{organization}/owners/{subject}/suspend', { params: { path } }))
      finish(words.owners.suspendedNow)
    } else {
      await done(api.POST('/v1/organizations/{organization}/owners/{subject}/resume', { params: { path } }))
      finish(words.owners.resumedNow)
    }
  }
  const record = owner.data
  const name = record?.email ?? id
  const list = organizationPath(organization, '/tokens')
  return (
    <>
      <p class="crumbs">
        <a href={hrefOf(organizationPath(organization, '/owners'))}>{words.owners.title}</a>
      </p>
      <Heading
        title={name}
        actions={
          record &&
          may(me, 'tokens:write') && (
            <>
              <button type="button" class="danger" onClick={() => setAsking('revoke')}>
                {words.owners.revokeAll}
              </button>
              {record.suspended_at ? (
                <button type="button" onClick={() => setAsking('resume')}>
                  {words.resume}
                </button>
              ) : (
                <button type="button" class="danger" onClick={() => setAsking('suspend')}>
                  {words.suspend}
                </button>
              )}
            </>
          )
        }
      >
        {name}
      </Heading>
      {owner.error && <Failure error={owner.error} retry={owner.reload} />}
      {record?.suspended_at && (
        <Notice kind="warning">{words.owners.suspendedSince(formatLong(record.suspended_at))}</Notice>
      )}
      {record && (
        <Facts
          items={[
            [words.owners.subject, <code key="subject">{record.subject}</code>],
            [words.owners.source, words.owners.sources[record.identity_source]],
            record.external_id !== null && [words.owners.externalId, record.external_id],
          ]}
        />
      )}
      {record && <h2 class="below">{words.tokens.title}</h2>}
      {tokens.error && <Failure error={tokens.error} retry={tokens.reload} />}
      {record && tokens.data?.items.length === 0 && <p class="muted">{words.owners.noTokens}</p>}
      {record && tokens.data && tokens.data.items.length > 0 && (
        <table class="list owned">
          <caption class="hidden">{words.tokens.title}</caption>
          <thead>
            <tr>
              <th scope="col">{words.token.name}</th>
              <th scope="col">{words.token.type}</th>
              <th scope="col">{words.token.expires}</th>
              <th scope="col">{words.token.lastUsed}</th>
            </tr>
          </thead>
          <tbody>
            {tokens.data.items.map((token) => (
              <tr key={token.id}>
                <th scope="row">
                  <a href={hrefOf(`${list}/${token.id}`)}>{token.name}</a>
                </th>
                <td>{token.type}</td>
                <td data-label={words.token.expires}>
                  {token.status === 'revoked' ? <Status status="revoked" /> : <Expiry token={token} />}
                </td>
                <td data-label={words.token.lastUsed}>
                  {token.last_used_at ? (
                    <Instant at={token.last_used_at} />
                  ) : (
                    <span class="muted">{words.token.neverUsed}</span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {tokens.data?.next_cursor && (
        <p class="below">
          <a href={hrefOf(list, { owner: id, status: 'all' })}>{words.owners.allTokens}</a>
        </p>
      )}
      {asking && (
        <Confirm
          title={words.owners.titles[asking](name)}
          deed={asking === 'revoke' ? words.owners.revokeAll : words[asking]}
          danger={asking !== 'resume'}
          onClose={() => setAsking(undefined)}
          act={act}
        >
          <p>{words.owners.helps[asking]}</p>
          {asking === 'revoke' && (
            <Field label={words.revoke.reason} name="reason" help={words.revoke.reasonHelp} optional>
              {(props) => <input {...props} maxLength={500} autocomplete="off" />}
            </Field>
          )}
        </Confirm>
      )}
    </>
  )
}

import { api, done } from '../api.ts'
import { formatExact, formatNumber } from '../format.ts'
import { hrefOf, organizationPath } from '../router.ts'
import type { ScreenProps } from '../shell.tsx'
import { Copyable, Facts, Failure, Heading, Notice, useLoad } from '../ui.tsx'
import { words } from '../words.ts'

/** Where a secret was found, and what happened to its token. */
export default function Leak({ organization, id }: ScreenProps) {
  const { data, error, reload } = useLoad(`leak ${organization} ${id}`, (signal) =>
    done(
      api.GET('/v1/organizations/{organization}/leaks/{leak}', {
        params: { path: { organization, leak: id } },
        signal,
      }),
    ),
  )
  const list = organizationPath(organization, '/leaks')
  const token = data && organizationPath(organization, `/tokens/${data.token_id}`)
  const works = data && data.secret_status !== 'superseded' && data.secret_status !== 'deleted'
  return (
    <>
      <p class="crumbs">
        <a href={hrefOf(list)}>{words.leaks.title}</a>
      </p>
      {error && <Failure error={error} retry={reload} />}
      {data && token && (
        <>
          <Heading
            title={data.token_name}
            actions={
              data.secret_status !== 'deleted' && (
                <a class="button primary" href={hrefOf(token)}>
                  {words.leaks.open}
                </a>
              )
            }
          >
            <span class="name">{data.token_name}</span>
          </Heading>
          {works && data.reaction === 'notified' && <Notice kind="warning">{words.leaks.advice}</Notice>}
          <Facts
            items={[
              [words.leaks.hint, <code key="hint">{data.hint}</code>],
              [words.leaks.secretStatus, words.leaks.secretStatuses[data.secret_status]],
              [words.leaks.reaction, words.leaks.reactions[data.reaction]],
              [words.leaks.source, data.source],
              data.url !== null && [
                words.leaks.url,
                <Copyable key="url" text={data.url} label={words.leaks.url} />,
              ],
              [words.leaks.by, data.reported_by.name],
              [words.leaks.first, formatExact(data.reported_at)],
              data.times > 1 && [words.leaks.last, formatExact(data.last_reported_at)],
              [words.leaks.times, formatNumber(data.times)],
            ]}
          />
          <p class="below">
            <a href={hrefOf(list, { token: data.token_id })}>{words.leaks.others}</a>
          </p>
        </>
      )}
    </>
  )
}

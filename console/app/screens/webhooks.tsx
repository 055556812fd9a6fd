import { api, done, type Shapes } from '../api.ts'
import { hrefOf, organizationPath } from '../router.ts'
import { may, useMe } from '../session.ts'
import type { ScreenProps } from '../shell.tsx'
import { Empty, Failure, Heading, Instant, Skeleton, useLoad } from '../ui.tsx'
import { words } from '../words.ts'

/** The endpoints that receive events. */
export default function Webhooks({ organization }: ScreenProps) {
  const me = useMe()
  const { data, error, reload } = useLoad(`webhooks ${organization}`, (signal) =>
    done(
      api.GET('/v1/organizations/{organization}/webhooks', { params: { path: { organization } }, signal }),
    ),
  )
  const path = organizationPath(organization, '/webhooks')
  const add = may(me, 'policy:write') && (
    <a class="button primary" href={hrefOf(`${path}/new`)}>
      {words.webhooks.add}
    </a>
  )
  return (
    <>
      <Heading title={words.webhooks.title} actions={data && data.items.length > 0 && add}>
        {words.webhooks.title}
      </Heading>
      {error && <Failure error={error} retry={reload} />}
      {data?.items.length === 0 ? (
        <Empty title={words.webhooks.none}>
          <p>{words.webhooks.noneHelp}</p>
          {add}
        </Empty>
      ) : (
        <table class="list webhooks">
          <caption class="hidden">{words.webhooks.title}</caption>
          <thead>
            <tr>
              <th scope="col">{words.webhooks.url}</th>
              <th scope="col">{words.webhooks.events}</th>
              <th scope="col">{words.webhooks.status}</th>
              <th scope="col">{words.token.created}</th>
            </tr>
          </thead>
          {!data && !error && <Skeleton rows={3} columns={4} />}
          <tbody>
            {data?.items.map((webhook) => (
              <tr key={webhook.id}>
                <th scope="row" title={webhook.url}>
                  <a href={hrefOf(`${path}/${webhook.id}`)}>{webhook.url}</a>
                  {webhook.description && <span class="scopes">{webhook.description}</span>}
                </th>
                <td data-label={words.webhooks.events}>
                  {webhook.events ? words.webhooks.eventCount(webhook.events.length) : words.webhooks.every}
                </td>
                <td>
                  <WebhookStatus status={webhook.status} />
                </td>
                <td data-label={words.token.created}>
                  <Instant at={webhook.created_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  )
}

export function WebhookStatus({ status }: Pick<Shapes['Webhook'], 'status'>) {
  return <span class={`pill ${words.webhooks.pill[status]}`}>{words.webhooks.statuses[status]}</span>
}

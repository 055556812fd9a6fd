import { useEffect, useRef, useState } from 'preact/hooks'
import { api, done, type Shapes } from '../api.ts'
import { formatNumber, formatRelative } from '../format.ts'
import { hrefOf, organizationPath } from '../router.ts'
import {
  announce,
  Confirm,
  Empty,
  Failure,
  Field,
  Instant,
  Menu,
  More,
  Skeleton,
  Tabs,
  usePages,
} from '../ui.tsx'
import { words } from '../words.ts'

type Delivery = Shapes['Delivery']
const statuses = ['pending', 'delivered', 'failed'] as const
const choices = ['failed', 'delivered', 'all'] as const

type DeliveriesProps = {
  organization: string
  webhook: string
  /** The status to filter by; '' for all. */
  status: string
  sent: number
  /** Called after a delivery is repeated; undefined without the permission. */
  onSent: (() => void) | undefined
}

/** The deliveries of a webhook and their results. */
export function Deliveries({ organization, webhook, status, sent, onSent }: DeliveriesProps) {
  const [ranging, setRanging] = useState(false)
  const { items, error, reload, more } = usePages(
    `deliveries ${organization} ${webhook} ${status} ${sent}`,
    (cursor, signal) =>
      done(
        api.GET('/v1/organizations/{organization}/webhooks/{webhook}/deliveries', {
          params: {
            path: { organization, webhook },
            query: { ...(status && { status: status as Delivery['status'] }), ...cursor, limit: 50 },
          },
          signal,
        }),
      ),
  )
  // A delivery from this page arrives within seconds, or not at all: polling for its result stops after that.
  const looks = useRef(0)
  useEffect(() => {
    looks.current = sent > 0 ? 10 : 0
  }, [sent])
  useEffect(() => {
    if (looks.current === 0 || !items?.some(({ status }) => status === 'pending')) return
    looks.current -= 1
    const timer = setTimeout(reload, 1000)
    return () => clearTimeout(timer)
  }, [items])
  const replay = ({ id: delivery }: Delivery) =>
    done(
      api.POST('/v1/organizations/{organization}/webhooks/{webhook}/deliveries/{delivery}/replay', {
        params: { path: { organization, webhook, delivery } },
      }),
    ).then(
      () => {
        announce(words.deliveries.replayed)
        onSent?.()
      },
      (refusal) => announce(refusal.message),
    )
  return (
    <section aria-label={words.deliveries.title}>
      <div class="heading below">
        <h2>{words.deliveries.title}</h2>
        <div class="actions">
          <button type="button" onClick={reload}>
            {words.deliveries.refresh}
          </button>
          {onSent && (
            <button type="button" onClick={() => setRanging(true)}>
              {words.deliveries.replayRange}
            </button>
          )}
        </div>
      </div>
      <Tabs
        label={words.deliveries.filter}
        items={(['', ...statuses] as const).map((one) => ({
          label: one ? words.deliveries.statuses[one] : words.deliveries.all,
          href: hrefOf(organizationPath(organization, `/webhooks/${webhook}`), { status: one }),
          current: status === one,
        }))}
      />
      {error && <Failure error={error} retry={reload} />}
      {items?.length === 0 ? (
        <Empty title={status ? words.deliveries.noMatch : words.deliveries.none}>
          {!status && <p>{words.deliveries.noneHelp}</p>}
        </Empty>
      ) : (
        <table class="list deliveries">
          <caption class="hidden">{words.deliveries.title}</caption>
          <thead>
            <tr>
              <th scope="col">{words.deliveries.event}</th>
              <th scope="col">{words.deliveries.occurred}</th>
              <th scope="col">{words.deliveries.status}</th>
              <th scope="col">{words.deliveries.response}</th>
              <th scope="col">{words.deliveries.latency}</th>
              <th scope="col">{words.deliveries.attempts}</th>
              <th scope="col">
                <span class="hidden">{words.token.actions}</span>
              </th>
            </tr>
          </thead>
          {!items && !error && <Skeleton rows={3} columns={7} />}
          <tbody>
            {items?.map((delivery) => (
              <tr key={delivery.id}>
                <th scope="row">
                  <span class="strong">{delivery.type}</span>
                </th>
                <td data-label={words.deliveries.occurred}>
                  <Instant at={delivery.occurred_at} />
                </td>
                <td>
                  <span class={`pill ${words.deliveries.pill[delivery.status]}`}>
                    {words.deliveries.statuses[delivery.status]}
                  </span>
                </td>
                <td data-label={words.deliveries.response}>
                  {delivery.response_status ?? <span class="muted">{words.deliveries.noResponse}</span>}
                </td>
                <td data-label={words.deliveries.latency}>
                  {delivery.duration_ms === null ? (
                    <span class="muted">{words.deliveries.noResponse}</span>
                  ) : (
                    words.deliveries.ms(formatNumber(delivery.duration_ms))
                  )}
                </td>
                <td data-label={words.deliveries.attempts}>{formatNumber(delivery.attempts)}</td>
                <td class="end">
                  {onSent && delivery.status !== 'pending' && (
                    <Menu
                      label={words.deliveries.actionsOf(delivery.type)}
                      items={[{ label: words.deliveries.replay, act: () => replay(delivery) }]}
                    />
                  )}
                </td>
                {(delivery.error || delivery.next_attempt_at) && delivery.attempts > 0 && (
                  <td class="note">
                    {[delivery.error, delivery.next_attempt_at && nextAttempt(delivery.next_attempt_at)]
                      .filter(Boolean)
                      .join(' · ')}
                  </td>
                )}
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <More load={more} />
      {ranging && (
        <ReplayRange
          path={{ organization, webhook }}
          onClose={() => setRanging(false)}
          onSent={() => {
            setRanging(false)
            onSent?.()
          }}
        />
      )}
    </section>
  )
}

const nextAttempt = (at: string) =>
  Date.parse(at) > Date.now() ? words.deliveries.retry(formatRelative(at)) : words.deliveries.due

type ReplayRangeProps = {
  path: { organization: string; webhook: string }
  onClose: () => void
  onSent: () => void
}

function ReplayRange({ path, onClose, onSent }: ReplayRangeProps) {
  const act = async (form: FormData) => {
    const at = (name: string) => {
      const text = String(form.get(name) ?? '')
      return text ? { [name]: new Date(text).toISOString() } : {}
    }
    const { replayed, more } = await done(
      api.POST('/v1/organizations/{organization}/webhooks/{webhook}/replay', {
        params: { path },
        body: { ...(at('since') as { since: string }), ...at('until'), status: form.get('status') as 'all' },
      }),
    )
    announce(words.deliveries.replayedRange(formatNumber(replayed), more))
    onSent()
  }
  return (
    <Confirm title={words.deliveries.replayRange} deed={words.deliveries.replay} onClose={onClose} act={act}>
      <p>{words.deliveries.replayRangeHelp}</p>
      <Field label={words.deliveries.since} name="since">
        {(props) => <input {...props} type="datetime-local" required />}
      </Field>
      <Field label={words.deliveries.until} name="until" help={words.deliveries.untilHelp} optional>
        {(props) => <input {...props} type="datetime-local" />}
      </Field>
      <Field label={words.deliveries.which} name="status">
        {(props) => (
          <select {...props}>
            {choices.map((choice) => (
              <option key={choice} value={choice}>
                {words.deliveries.choices[choice]}
              </option>
            ))}
          </select>
        )}
      </Field>
    </Confirm>
  )
}

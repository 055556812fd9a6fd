import { useState } from 'preact/hooks'
import { api, done, type Shapes } from '../api.ts'
import { formatDuration, formatLong } from '../format.ts'
import { go, hrefOf, organizationPath, setQuery } from '../router.ts'
import { may, useMe } from '../session.ts'
import type { ScreenProps } from '../shell.tsx'
import {
  announce,
  Confirm,
  Copyable,
  Facts,
  Failure,
  Field,
  Heading,
  Instant,
  Notice,
  useLoad,
} from '../ui.tsx'
import { words } from '../words.ts'
import { Deliveries } from './deliveries.tsx'
import { WebhookFields, webhookIn } from './webhook-fields.tsx'
import { WebhookReveal } from './webhook-reveal.tsx'
import { WebhookStatus } from './webhooks.tsx'

type Deed = 'change' | 'rotate' | 'delete'

const overlaps = [86_400, 3_600, 604_800, 0]

/** A URL that breaks after a slash, where it does not fit. */
function breakable(url: string) {
  return url.split(/(?<=[/])/).flatMap((part) => [part, <wbr key={part} />])
}

/** A webhook, its deliveries, and the actions on it. */
export default function WebhookScreen({ organization, place, id }: ScreenProps) {
  const me = useMe()
  const list = organizationPath(organization, '/webhooks')
  const params = { path: { organization, webhook: id } }
  const { data, error, reload } = useLoad(`webhook ${organization} ${id}`, (signal) =>
    done(api.GET('/v1/organizations/{organization}/webhooks/{webhook}', { params, signal })),
  )
  const [revealed, setRevealed] = useState<Shapes['WebhookWithSecret']>()
  /** Counts test events and replays, so that the deliveries are loaded again. */
  const [sent, setSent] = useState(0)
  const deed = (place.query.get('do') ?? undefined) as Deed | undefined
  const status = place.query.get('status') ?? ''
  const ask = (next?: Deed) => setQuery({ status, do: next })
  const send = () => setSent((before) => before + 1)
  const finish = (text: string) => {
    announce(text)
    ask()
    reload()
    send()
  }

  if (revealed?.secret)
    return (
      <WebhookReveal
        webhook={revealed}
        secret={revealed.secret}
        title={words.webhooks.rotated}
        onDone={() => setRevealed(undefined)}
        leave={() => {
          reload()
          void go(hrefOf(`${list}/${id}`), { replace: true })
        }}
      />
    )
  const back = (
    <p class="crumbs">
      <a href={hrefOf(list)}>{words.webhooks.title}</a>
    </p>
  )
  if (error || !data)
    return (
      <>
        {back}
        {error && <Failure error={error} retry={reload} />}
      </>
    )
  const setPaused = (paused: boolean) =>
    done(api.PATCH('/v1/organizations/{organization}/webhooks/{webhook}', { params, body: { paused } })).then(
      () => finish(paused ? words.webhooks.pausedNow : words.webhooks.resumed),
      (refusal) => announce(refusal.message),
    )
  const test = () =>
    done(api.POST('/v1/organizations/{organization}/webhooks/{webhook}/test', { params })).then(
      () => {
        announce(words.webhooks.tested)
        send()
      },
      (refusal) => announce(refusal.message),
    )
  const mayWrite = may(me, 'policy:write')
  const waits = data.status === 'paused' || data.status === 'disabled'
  const resume = mayWrite && (
    <button type="button" onClick={() => setPaused(false)}>
      {data.status === 'paused' ? words.resume : words.webhooks.enable}
    </button>
  )
  return (
    <>
      {back}
      <Heading
        title={data.url}
        actions={
          mayWrite && (
            <>
              <button type="button" onClick={test}>
                {words.webhooks.test}
              </button>
              <button type="button" onClick={() => ask('change')}>
                {words.change}
              </button>
              {!waits && (
                <button type="button" onClick={() => setPaused(true)}>
                  {words.webhooks.pause}
                </button>
              )}
              <button type="button" onClick={() => ask('rotate')}>
                {words.webhooks.rotate}
              </button>
              <button type="button" class="danger" onClick={() => ask('delete')}>
                {words.delete.action}
              </button>
            </>
          )
        }
      >
        <span class="name">{breakable(data.url)}</span> <WebhookStatus status={data.status} />
      </Heading>
      {data.status === 'failing' && data.failing_since && (
        <Notice kind="warning">{words.webhooks.failing(formatLong(data.failing_since))}</Notice>
      )}
      {waits && (
        <Notice kind={data.status === 'paused' ? 'info' : 'warning'}>
          <p>
            {data.status === 'paused'
              ? words.webhooks.paused
              : words.webhooks.disabled(data.disabled_reason ?? '')}
          </p>
          {resume}
        </Notice>
      )}
      {data.previous_secret_until && (
        <Notice kind="info">{words.webhooks.bothSecrets(formatLong(data.previous_secret_until))}</Notice>
      )}
      <Facts
        items={[
          data.description !== null && [words.webhooks.description, data.description],
          [
            words.webhooks.events,
            data.events
              ? data.events.map((event) => words.events[event]).join(', ')
              : words.webhooks.allEvents,
          ],
          [words.webhooks.signature, words.webhooks.signatures[data.signature].name],
          data.public_keys.length > 0 && [
            words.webhooks.publicKeys,
            data.public_keys.map((key) => (
              <Copyable key={key} text={key} label={words.webhooks.publicKeys} />
            )),
          ],
          [words.token.created, <Instant key="created" at={data.created_at} />],
        ]}
      />
      <Deliveries
        organization={organization}
        webhook={id}
        status={status}
        sent={sent}
        onSent={mayWrite ? send : undefined}
      />
      {deed === 'change' && (
        <Confirm
          title={words.webhooks.changeTitle}
          deed={words.save}
          onClose={() => ask()}
          act={async (form) => {
            const body = webhookIn(form)
            await done(api.PATCH('/v1/organizations/{organization}/webhooks/{webhook}', { params, body }))
            finish(words.saved)
          }}
        >
          <WebhookFields webhook={data} />
        </Confirm>
      )}
      {deed === 'rotate' && (
        <Confirm
          title={words.webhooks.rotate}
          deed={words.webhooks.rotate}
          onClose={() => ask()}
          act={async (form) => {
            const body = { overlap_seconds: Number(form.get('overlap_seconds')) }
            const rotated = await done(
              api.POST('/v1/organizations/{organization}/webhooks/{webhook}/rotate-secret', { params, body }),
            )
            if (rotated.secret === null) finish(words.webhooks.keyRotated)
            else setRevealed(rotated)
          }}
        >
          <p>{words.webhooks.rotateHelp}</p>
          <Field label={words.webhooks.overlap} name="overlap_seconds">
            {(props) => (
              <select {...props}>
                {overlaps.map((seconds) => (
                  <option key={seconds} value={seconds}>
                    {seconds === 0 ? words.webhooks.noOverlap : formatDuration(seconds)}
                  </option>
                ))}
              </select>
            )}
          </Field>
        </Confirm>
      )}
      {deed === 'delete' && (
        <Confirm
          title={words.webhooks.deleteTitle}
          deed={words.webhooks.delete}
          danger
          onClose={() => ask()}
          act={async () => {
            await done(api.DELETE('/v1/organizations/{organization}/webhooks/{webhook}', { params }))
            announce(words.webhooks.deleted)
            void go(hrefOf(list), { replace: true })
          }}
        >
          <p>{words.webhooks.deleteHelp}</p>
        </Confirm>
      )}
    </>
  )
}

import type { TargetedSubmitEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { api, done, type Refusal, type Shapes, type Token, withResponse } from '../api.ts'
import { formatDuration, formatExact, formatLong, formatNumber } from '../format.ts'
import { go, hrefOf, organizationPath, setQuery } from '../router.ts'
import { may, useMe } from '../session.ts'
import type { ScreenProps } from '../shell.tsx'
import { DeleteDialog, RevokeDialog } from '../token-dialogs.tsx'
import {
  announce,
  Confirm,
  Copyable,
  ExactExpiry,
  type Fact,
  Facts,
  Failure,
  Field,
  FieldErrors,
  FormError,
  focusWrong,
  Heading,
  Instant,
  Notice,
  Scopes,
  Status,
  useLoad,
} from '../ui.tsx'
import { words } from '../words.ts'
import { Changes } from './changes.tsx'
import { TokenReveal } from './reveal.tsx'

type Deed = 'rotate' | 'revoke' | 'delete' | 'finish' | 'cancel'

export default function TokenScreen({ organization, place, id }: ScreenProps) {
  const me = useMe()
  const path = { organization, token: id }
  const list = organizationPath(organization, '/tokens')
  const loaded = useLoad(`token ${organization} ${id}`, (signal) =>
    withResponse(api.GET('/v1/organizations/{organization}/tokens/{token}', { params: { path }, signal })),
  )
  const secrets = useLoad(`secrets ${organization} ${id}`, (signal) =>
    done(api.GET('/v1/organizations/{organization}/tokens/{token}/secrets', { params: { path }, signal })),
  )
  const [rotated, setRotated] = useState<Shapes['RotatedToken']>()
  const deed = (place.query.get('do') ?? undefined) as Deed | undefined
  const ask = (next?: Deed) => setQuery(next ? { do: next } : {})
  const token = loaded.data?.data
  const reload = () => {
    loaded.reload()
    secrets.reload()
  }

  if (rotated)
    return (
      <TokenReveal
        token={rotated}
        title={words.rotate.done(rotated.name)}
        onDone={() => setRotated(undefined)}
        leave={() => {
          reload()
          void go(hrefOf(`${list}/${id}`), { replace: true })
        }}
      />
    )
  const back = (
    <p class="crumbs">
      <a href={hrefOf(list)}>{words.tokens.title}</a>
    </p>
  )
  if (loaded.error)
    return (
      <>
        {back}
        <Failure error={loaded.error} retry={reload} />
      </>
    )
  // Later content does not move the visible content.
  if (!token || !(secrets.data || secrets.error)) return back
  const isOpen = token.status === 'active' || token.status === 'not_yet_valid'
  const mayWrite = may(me, 'tokens:write', 'tokens:own') && !token.read_only
  const actions = mayWrite && (
    <>
      {isOpen && (
        <button type="button" onClick={() => ask('rotate')}>
          {words.rotate.action}
        </button>
      )}
      {isOpen && (
        <button type="button" class="danger" onClick={() => ask('revoke')}>
          {words.revoke.action}
        </button>
      )}
      <button type="button" class="danger" onClick={() => ask('delete')}>
        {words.delete.action}
      </button>
    </>
  )
  const pending = secrets.data?.items.find(({ status }) => status === 'pending')
  const overlapping = secrets.data?.items.find(({ status }) => status === 'overlapping')
  return (
    <>
      {back}
      <Heading title={token.name} actions={actions}>
        <span class="name">{token.name}</span> <Status status={token.status} />
      </Heading>
      {token.status === 'revoked' && <Revoked token={token} />}
      {mayWrite && overlapping?.valid_until && (
        <Notice kind="info">
          <p>{words.rotate.overlapping(formatLong(overlapping.valid_until))}</p>
          <button type="button" onClick={() => ask('finish')}>
            {words.rotate.finish}
          </button>
        </Notice>
      )}
      {mayWrite && pending?.lapses_at && (
        <Notice kind="info">
          <p>{words.rotate.pending(formatLong(pending.lapses_at))}</p>
          <button type="button" onClick={() => ask('cancel')}>
            {words.rotate.cancel}
          </button>
        </Notice>
      )}
      <div class="columns">
        <TokenFacts token={token} organization={organization} uses={secrets.data?.items} />
        <div>
          <Edit token={token} etag={loaded.data?.etag ?? null} mayWrite={mayWrite} onSaved={reload} />
          <h2>{words.secrets.title}</h2>
          <Secrets secrets={secrets.data?.items} />
          {may(me, 'audit:read') && (
            <>
              <h2>{words.changes.title}</h2>
              <Changes
                organization={organization}
                query={{ target: token.id }}
                version={loaded.data?.etag ?? null}
              />
            </>
          )}
        </div>
      </div>
      {deed === 'rotate' && isOpen && (
        <RotateDialog token={token} onClose={() => ask()} onRotated={setRotated} />
      )}
      {deed === 'revoke' && isOpen && <RevokeDialog token={token} onClose={() => ask()} onDone={reload} />}
      {deed === 'delete' && (
        <DeleteDialog
          token={token}
          onClose={() => ask()}
          onDone={() => go(hrefOf(list), { replace: true })}
        />
      )}
      {deed === 'finish' && (
        <Confirm
          title={words.rotate.finishTitle}
          deed={words.rotate.finish}
          danger
          onClose={() => ask()}
          act={async () => {
            await done(
              api.POST('/v1/organizations/{organization}/tokens/{token}/rotate/finish', { params: { path } }),
            )
            announce(words.rotate.finished)
            ask()
            reload()
          }}
        >
          <p>{words.rotate.finishHelp}</p>
        </Confirm>
      )}
      {deed === 'cancel' && (
        <Confirm
          title={words.rotate.cancelTitle}
          deed={words.rotate.cancel}
          danger
          onClose={() => ask()}
          act={async () => {
            await done(
              api.POST('/v1/organizations/{organization}/tokens/{token}/rotate/cancel', { params: { path } }),
            )
            announce(words.rotate.cancelled)
            ask()
            reload()
          }}
        >
          <p>{words.rotate.cancelHelp}</p>
        </Confirm>
      )}
    </>
  )
}

function Revoked({ token }: { token: Token }) {
  return (
    <Notice kind="warning">
      <p>
        {words.revoke.was(token.revoked_by?.name ?? '', token.revoked_at ? formatLong(token.revoked_at) : '')}{' '}
        {token.revoked_reason && words.revoke.because(token.revoked_reason)}
      </p>
    </Notice>
  )
}

type FactsProps = { token: Token; organization: string; uses: Shapes['TokenSecret'][] | undefined }

function TokenFacts({ token, organization, uses }: FactsProps) {
  const { owner } = token
  const items: (Fact | false)[] = [
    [words.token.type, token.type],
    [words.token.hint, <Copyable key="hint" text={token.hint} label={words.token.hint} />],
    token.endpoint !== null && [
      words.token.endpoint,
      <Copyable key="endpoint" text={token.endpoint} label={words.token.endpoint} />,
    ],
    [words.token.scopes, <Scopes key="scopes" scopes={token.scopes} />],
    [words.token.expires, <ExactExpiry key="expiry" token={token} />],
    [words.token.lastUsed, token.last_used_at ? <Instant at={token.last_used_at} /> : words.token.neverUsed],
    token.last_used_ip !== null && [words.token.lastUsedFrom, <code key="ip">{token.last_used_ip}</code>],
    uses !== undefined && [
      words.token.uses,
      formatNumber(uses.reduce((sum, { use_count }) => sum + use_count, 0)),
    ],
    [
      words.token.owner,
      owner ? (
        <a
          key="owner"
          href={hrefOf(organizationPath(organization, `/owners/${encodeURIComponent(owner.subject)}`))}
        >
          {owner.email ?? owner.subject}
        </a>
      ) : (
        words.token.service
      ),
    ],
    [
      words.token.networks,
      token.allowed_cidrs ? (
        <code key="networks">{(token.allowed_cidrs as string[]).join(', ')}</code>
      ) : (
        words.token.anywhere
      ),
    ],
    [words.token.created, words.token.createdBy(formatExact(token.created_at), token.created_by.name)],
    [words.token.id, <Copyable key="id" text={token.id} label={words.token.id} />],
  ]
  return (
    <section class="summary" aria-label={words.token.facts}>
      <h2>{words.token.facts}</h2>
      <Facts items={items} />
    </section>
  )
}

type EditProps = { token: Token; etag: string | null; mayWrite: boolean; onSaved: () => void }

function Edit({ token, etag, mayWrite, onSaved }: EditProps) {
  const [name, setName] = useState(token.name)
  const [comment, setComment] = useState(token.comment ?? '')
  const [error, setError] = useState<Refusal>()
  const form = useRef<HTMLFormElement>(null)
  // The saved values are shown in the same fields, so that the focus does not move.
  useEffect(() => {
    setName(token.name)
    setComment(token.comment ?? '')
  }, [etag])
  const changed = name !== token.name || comment !== (token.comment ?? '')
  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (!changed) return
    try {
      await done(
        api.PATCH('/v1/organizations/{organization}/tokens/{token}', {
          params: {
            path: { organization: token.organization, token: token.id },
            ...(etag && { header: { 'if-match': etag } }),
          },
          body: {
            ...(name !== token.name && { name }),
            ...(comment !== (token.comment ?? '') && { comment: comment || null }),
          },
        }),
      )
      setError(undefined)
      announce(words.saved)
      onSaved()
    } catch (refusal) {
      setError(refusal as Refusal)
      focusWrong(form.current)
    }
  }
  return (
    <form ref={form} onSubmit={submit} noValidate>
      <FieldErrors value={error?.fields ?? []}>
        <Field label={words.token.name} name="name">
          {(props) => (
            <input
              {...props}
              value={name}
              readOnly={!mayWrite}
              maxLength={1000}
              autocomplete="off"
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label={words.token.comment} name="comment" help={words.create.commentHelp} optional>
          {(props) => (
            <textarea
              {...props}
              rows={3}
              value={comment}
              readOnly={!mayWrite}
              onInput={(event) => setComment(event.currentTarget.value)}
            />
          )}
        </Field>
      </FieldErrors>
      <FormError error={error} shown={['name', 'comment']} />
      {mayWrite && (
        <div class="buttons">
          <button type="submit" class="primary" aria-disabled={!changed}>
            {words.save}
          </button>
        </div>
      )}
    </form>
  )
}

/** The secrets of a token, newest first: which are good, and their uses. */
function Secrets({ secrets }: { secrets: Shapes['TokenSecret'][] | undefined }) {
  if (!secrets) return <p class="muted">{words.loading}</p>
  return (
    <ol class="timeline">
      {secrets.map((secret) => (
        <li key={secret.id} class={secret.status}>
          <p>
            <code>{secret.hint}</code>{' '}
            <span class={`pill ${secret.status}`}>{words.secrets[secret.status]}</span>
          </p>
          <p class="help">
            {words.secrets.since(formatExact(secret.created_at))}
            {secret.valid_until && ` ${words.secrets.until(formatExact(secret.valid_until))}`}
          </p>
          <p class="help">
            {secret.last_used_at ? (
              <>
                {words.secrets.uses(formatNumber(secret.use_count))} <Instant at={secret.last_used_at} />
                {secret.last_used_ip && ` ${words.secrets.from(secret.last_used_ip)}`}
              </>
            ) : (
              words.token.neverUsed
            )}
          </p>
          {secret.reused_at && (
            <Notice kind="error">
              {words.secrets.reused(formatExact(secret.reused_at), secret.reused_ip ?? '')}
            </Notice>
          )}
        </li>
      ))}
    </ol>
  )
}

type RotateProps = { token: Token; onClose: () => void; onRotated: (token: Shapes['RotatedToken']) => void }

const overlaps = [0, 3600, 86_400, 7 * 86_400, 30 * 86_400]

function RotateDialog({ token, onClose, onRotated }: RotateProps) {
  const { organization } = token
  const me = useMe()
  const [overlap, setOverlap] = useState<number>()
  const mayRead = may(me, 'policy:read')
  const policy = useLoad(`rotation policy ${organization}`, async (signal) =>
    mayRead
      ? (
          await done(
            api.GET('/v1/organizations/{organization}/policy', {
              params: { path: { organization } },
              signal,
            }),
          )
        ).policy
      : undefined,
  )
  const rules = policy.data?.rotation
  useEffect(() => setOverlap(rules?.default_overlap_seconds), [rules])
  const usual = rules?.default_overlap_seconds
  const choices = [...new Set([...overlaps, ...(usual === undefined ? [] : [usual])])]
    .filter((seconds) => !rules || seconds <= rules.maximum_overlap_seconds)
    .sort((a, b) => a - b)
  const act = async (form: FormData) => {
    const rotated = await done(
      api.POST('/v1/organizations/{organization}/tokens/{token}/rotate', {
        params: { path: { organization, token: token.id } },
        body: {
          ...(overlap !== undefined && { overlap_seconds: overlap }),
          activation: form.get('activation') === 'first_use' ? 'first_use' : 'now',
        },
      }),
    )
    onRotated(rotated)
  }
  return (
    <Confirm title={words.rotate.title(token.name)} deed={words.rotate.deed} onClose={onClose} act={act}>
      <p>{words.rotate.help}</p>
      <Field
        label={words.rotate.overlap}
        name="overlap_seconds"
        help={
          overlap === undefined
            ? words.rotate.overlapUsual
            : overlap === 0
              ? words.rotate.noOverlap
              : words.rotate.until(formatLong(new Date(Date.now() + overlap * 1000)))
        }
      >
        {(props) => (
          <select
            {...props}
            value={overlap ?? ''}
            onChange={(event) =>
              setOverlap(event.currentTarget.value === '' ? undefined : Number(event.currentTarget.value))
            }
          >
            {!mayRead && <option value="">{words.rotate.usual}</option>}
            {choices.map((seconds) => (
              <option key={seconds} value={seconds}>
                {seconds === 0 ? words.rotate.none : formatDuration(seconds)}
              </option>
            ))}
          </select>
        )}
      </Field>
      <fieldset class="choices">
        <legend>{words.rotate.activation}</legend>
        <label class="choice">
          <input type="radio" name="activation" value="now" defaultChecked />
          <span>
            <strong>{words.rotate.now}</strong>
            <span class="help">{words.rotate.nowHelp}</span>
          </span>
        </label>
        <label class="choice">
          <input type="radio" name="activation" value="first_use" />
          <span>
            <strong>{words.rotate.firstUse}</strong>
            <span class="help">{words.rotate.firstUseHelp}</span>
          </span>
        </label>
      </fieldset>
    </Confirm>
  )
}

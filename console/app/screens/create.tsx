import type { TargetedSubmitEvent } from 'preact'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { api, done, Refusal, type Shapes } from '../api.ts'
import { apiUrl } from '../base.ts'
import { formatDay, formatDays, formatLong } from '../format.ts'
import { go, hrefOf, organizationPath } from '../router.ts'
import type { ScreenProps } from '../shell.tsx'
import {
  Code,
  Copyable,
  Facts,
  Failure,
  Field,
  FieldErrors,
  FormError,
  focusWrong,
  Heading,
  Notice,
  Scopes,
  useLoad,
} from '../ui.tsx'
import { words } from '../words.ts'
import { TokenReveal } from './reveal.tsx'

type Options = Shapes['TokenOptions']
type NewToken = Shapes['NewToken']

const dayMs = 86_400_000
const custom = 'custom'
const never = 'never'

type Values = {
  name: string
  type: string
  scopes: string[]
  /** A number of days among the presets, `custom` or `never`. */
  lifetime: string
  days: string
  owner: string
  email: string
  networks: string
  comment: string
}

export default function Create({ organization }: ScreenProps) {
  const path = organizationPath(organization, '/tokens')
  const [issued, setIssued] = useState<Shapes['IssuedToken']>()
  const { data, error, reload } = useLoad(`options ${organization}`, async (signal) => {
    const params = { path: { organization } }
    const options = await done(api.GET('/v1/organizations/{organization}/tokens/options', { params, signal }))
    // Most tokens are for other services, so the type `management` comes last.
    const last = ({ name }: { name: string }) => Number(name === 'management')
    return { ...options, types: options.types.toSorted((a, b) => last(a) - last(b)) }
  })
  const leave = () => go(hrefOf(issued ? `${path}/${issued.id}` : path))
  if (issued)
    return (
      <TokenReveal
        token={issued}
        title={words.reveal.created(issued.name)}
        onDone={() => setIssued(undefined)}
        leave={leave}
      />
    )
  return (
    <>
      <p class="crumbs">
        <a href={hrefOf(path)}>{words.tokens.title}</a>
      </p>
      <Heading title={words.create.title}>{words.create.title}</Heading>
      {error && <Failure error={error} retry={reload} />}
      {data && !data.creation.allowed && (
        <Notice kind="warning">
          <p>
            <strong>{words.tokens.creationDisabled}</strong> {data.creation.reason}
          </p>
        </Notice>
      )}
      {data?.creation.allowed && <Form organization={organization} options={data} onIssued={setIssued} />}
    </>
  )
}

type FormProps = { organization: string; options: Options; onIssued: (token: Shapes['IssuedToken']) => void }

function Form({ organization, options, onIssued }: FormProps) {
  const [values, setValues] = useState(() => initial(options))
  const [touched, setTouched] = useState<Set<string>>(new Set())
  const [refusal, setRefusal] = useState<Refusal>()
  const [busy, setBusy] = useState(false)
  const form = useRef<HTMLFormElement>(null)
  const type = options.types.find(({ name }) => name === values.type)
  const body = bodyOf(values)
  // The key returns the same response again if it was lost on the way; another form is another request.
  const key = useMemo(() => crypto.randomUUID(), [JSON.stringify(body)])
  const preview = usePreview(organization, body, isComplete(values, options))
  const set = (change: Partial<Values>) => {
    setValues((before) => ({ ...before, ...change }))
    setTouched((before) => new Set([...before, ...Object.keys(change)]))
    setRefusal(undefined)
  }
  const choose = (name: string) =>
    set({ type: name, scopes: options.types.find((one) => one.name === name)?.default_scopes ?? [] })

  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    setBusy(true)
    try {
      const params = { path: { organization }, header: { 'idempotency-key': key } }
      const issued = await done(api.POST('/v1/organizations/{organization}/tokens', { params, body }))
      onIssued(issued as Shapes['IssuedToken'])
    } catch (error) {
      setRefusal(error as Refusal)
      setBusy(false)
      focusWrong(form.current)
    }
  }

  const shownRefusal = refusal ?? preview.refusal
  const errors = (shownRefusal?.fields ?? []).filter(({ field }) => refusal || isTouched(field, touched))
  const expires = expiryOf(values, options)
  const granted = preview.token?.expires_at
  const left = options.limits.organization
  return (
    <form ref={form} class="create" onSubmit={submit} noValidate>
      <FieldErrors value={errors}>
        <div class="fields">
          <Field
            label={words.token.name}
            name="name"
            help={
              <>
                {words.create.nameHelp} {!options.name.required && words.create.nameOptional}
                {values.name === '' && (
                  <button
                    type="button"
                    class="link"
                    onClick={() => set({ name: words.create.suggested(values.type, formatDay(Date.now())) })}
                  >
                    {words.create.suggest}
                  </button>
                )}
              </>
            }
            optional={!options.name.required}
          >
            {(props) => (
              <input
                {...props}
                value={values.name}
                maxLength={1000}
                required={options.name.required}
                minLength={options.name.minimum_length}
                autocomplete="off"
                onInput={(event) => set({ name: event.currentTarget.value })}
              />
            )}
          </Field>
          <fieldset class="choices">
            <legend>{words.token.type}</legend>
            {options.types.map(({ name, description }) => (
              <label key={name} class="choice">
                <input
                  type="radio"
                  name="type"
                  value={name}
                  checked={values.type === name}
                  onChange={() => choose(name)}
                />
                <span>
                  <strong>{name}</strong>
                  {description && <span class="help">{description}</span>}
                </span>
              </label>
            ))}
          </fieldset>
          {type && <ScopeFields type={type} chosen={values.scopes} set={(scopes) => set({ scopes })} />}
          <Lifetime values={values} options={options} expires={granted ?? expires} set={set} />
          <Field label={words.token.comment} name="comment" help={words.create.commentHelp} optional>
            {(props) => (
              <textarea
                {...props}
                rows={2}
                value={values.comment}
                onInput={(event) => set({ comment: event.currentTarget.value })}
              />
            )}
          </Field>
          <details open={values.owner !== '' || values.networks !== ''}>
            <summary>{words.create.more}</summary>
            <Field label={words.token.owner} name="owner" help={words.create.ownerHelp} optional>
              {(props) => (
                <input
                  {...props}
                  value={values.owner}
                  maxLength={255}
                  autocomplete="off"
                  onInput={(event) => set({ owner: event.currentTarget.value })}
                />
              )}
            </Field>
            {values.owner.trim() && (
              <Field label={words.create.ownerEmail} name="owner.email" optional>
                {(props) => (
                  <input
                    {...props}
                    type="email"
                    value={values.email}
                    autocomplete="off"
                    onInput={(event) => set({ email: event.currentTarget.value })}
                  />
                )}
              </Field>
            )}
            <Field
              label={words.token.networks}
              name="allowed_cidrs"
              help={words.create.networksHelp}
              optional
            >
              {(props) => (
                <textarea
                  {...props}
                  rows={2}
                  class="mono"
                  spellcheck={false}
                  value={values.networks}
                  onInput={(event) => set({ networks: event.currentTarget.value })}
                />
              )}
            </Field>
          </details>
        </div>
        <section class="summary" aria-label={words.create.summary}>
          <h2>{words.create.summary}</h2>
          <Facts
            items={[
              [words.token.type, values.type],
              [words.token.scopes, <Scopes key="scopes" scopes={values.scopes} />],
              [words.token.owner, values.email.trim() || values.owner.trim() || words.token.service],
              [
                words.token.expires,
                granted === null || values.lifetime === never ? words.token.never : dated(granted ?? expires),
              ],
              type !== undefined &&
                type.endpoint !== null && [
                  words.token.endpoint,
                  <Copyable key="endpoint" text={type.endpoint} label={words.token.endpoint} />,
                ],
              left !== null && [words.create.left, words.create.leftOf(left.left, left.limit)],
            ]}
          />
          <div aria-live="polite">
            {preview.token?.warnings.map(({ code, message }) => (
              <Notice key={code} kind="warning">
                {message}
              </Notice>
            ))}
            {!refusal && preview.refusal && <Refused refusal={preview.refusal} touched={touched} />}
          </div>
          <FormError
            error={refusal}
            shown={['name', 'type', 'scopes', 'comment', 'owner', 'allowed_cidrs', 'lifetime_days']}
          />
          <div class="buttons">
            <button type="submit" class="primary" aria-busy={busy} disabled={busy}>
              {words.create.submit}
            </button>
            <a class="button" href={hrefOf(organizationPath(organization, '/tokens'))}>
              {words.cancel}
            </a>
          </div>
          <details>
            <summary>{words.create.byCommand}</summary>
            <Code text={commandFor(organization, body)} label={words.create.command} />
          </details>
        </section>
      </FieldErrors>
    </form>
  )
}

function ScopeFields({
  type,
  chosen,
  set,
}: {
  type: Options['types'][number]
  chosen: string[]
  set: (scopes: string[]) => void
}) {
  const [text, setText] = useState(chosen.join(' '))
  useEffect(() => setText(chosen.join(' ')), [type.name])
  if (type.scope_details.length === 0 && type.allowed_scopes === null)
    return (
      <Field
        label={words.token.scopes}
        name="scopes"
        help={words.create.scopesHelp}
        optional={!type.scopes_required}
      >
        {(props) => (
          <input
            {...props}
            class="mono"
            value={text}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => {
              setText(event.currentTarget.value)
              set([...new Set(event.currentTarget.value.split(/[\s,]+/).filter(Boolean))])
            }}
          />
        )}
      </Field>
    )
  const names = type.scope_details.map(({ scope }) => scope)
  if (names.length === 0) return null
  const toggle = (scope: string, on: boolean) =>
    set(names.filter((one) => (one === scope ? on : chosen.includes(one))))
  return (
    <fieldset class="choices">
      <legend>{words.token.scopes}</legend>
      {type.scope_details.map(({ scope, label, description }) => (
        <label key={scope} class="choice">
          <input
            type="checkbox"
            checked={chosen.includes(scope)}
            onChange={(event) => toggle(scope, event.currentTarget.checked)}
          />
          <span>
            <span>
              <strong>{label}</strong> {label !== scope && <code class="muted">{scope}</code>}
            </span>
            {description && <span class="help">{description}</span>}
          </span>
        </label>
      ))}
    </fieldset>
  )
}

type LifetimeProps = {
  values: Values
  options: Options
  expires: string | undefined
  set: (change: Partial<Values>) => void
}

function Lifetime({ values, options: { lifetime }, expires, set }: LifetimeProps) {
  const consequence =
    values.lifetime === never
      ? words.create.neverHelp
      : expires
        ? words.create.stopsOn(formatLong(expires))
        : words.create.typeDays
  return (
    <div class="lifetime">
      <Field label={words.create.validity} name="lifetime_days" help={consequence}>
        {(props) => (
          <select
            {...props}
            value={values.lifetime}
            onChange={(event) => set({ lifetime: event.currentTarget.value })}
          >
            {lifetime.presets.map(({ days }) => (
              <option key={days} value={days}>
                {formatDays(days)}
              </option>
            ))}
            <option value={custom}>{words.create.custom}</option>
            {lifetime.allow_no_expiry && <option value={never}>{words.create.never}</option>}
          </select>
        )}
      </Field>
      {values.lifetime === custom && (
        <Field
          label={words.create.days}
          name="custom"
          help={words.create.daysBetween(lifetime.minimum_days, lifetime.maximum_days)}
        >
          {(props) => (
            <input
              {...props}
              type="number"
              inputMode="numeric"
              min={lifetime.minimum_days}
              step={1}
              value={values.days}
              onInput={(event) => set({ days: event.currentTarget.value })}
            />
          )}
        </Field>
      )}
    </div>
  )
}

/** The result of a dry run: the token as it would be, or why it would be rejected. */
function usePreview(organization: string, body: NewToken, complete: boolean) {
  const [state, setState] = useState<{ token?: Shapes['TokenPreview']; refusal?: Refusal }>({})
  const text = JSON.stringify(body)
  useEffect(() => {
    if (!complete) return setState({})
    const aborting = new AbortController()
    const timer = setTimeout(() => {
      done(
        api.POST('/v1/organizations/{organization}/tokens', {
          params: { path: { organization }, query: { dry_run: true } },
          body,
          signal: aborting.signal,
        }),
      ).then(
        (token) => setState({ token: token as Shapes['TokenPreview'] }),
        (error) => error instanceof Refusal && setState({ refusal: error }),
      )
    }, 300)
    return () => {
      clearTimeout(timer)
      aborting.abort()
    }
  }, [text, complete])
  return state
}

function Refused({ refusal, touched }: { refusal: Refusal; touched: Set<string> }) {
  const told = refusal.fields.some(({ field }) => isTouched(field, touched))
  return told ? null : <Notice kind="error">{refusal.message}</Notice>
}

function initial({ types, lifetime }: Options): Values {
  const usual = lifetime.presets.find(({ days }) => days === lifetime.default_days) ?? lifetime.presets[0]
  const first = types[0]
  return {
    name: '',
    owner: '',
    email: '',
    networks: '',
    comment: '',
    type: first?.name ?? '',
    scopes: first?.default_scopes ?? [],
    lifetime: usual ? String(usual.days) : custom,
    days: String(lifetime.default_days ?? 30),
  }
}

function bodyOf(values: Values): NewToken {
  const networks = values.networks.split(/[\s,]+/).filter(Boolean)
  const owner = values.owner.trim()
  const email = values.email.trim()
  return {
    ...(values.name.trim() && { name: values.name }),
    type: values.type,
    scopes: values.scopes,
    ...(values.lifetime === never
      ? { never_expires: true }
      : { lifetime_days: Number(values.lifetime === custom ? values.days : values.lifetime) }),
    ...(owner && { owner: { subject: owner, ...(email && { email }) } }),
    ...(networks.length > 0 && { allowed_cidrs: networks }),
    ...(values.comment.trim() && { comment: values.comment }),
  }
}

/** Whether a dry run makes sense: an empty form is not rejected before any input. */
function isComplete({ name, lifetime, days }: Values, { name: rules }: Options): boolean {
  const named = name.trim() !== '' || !rules.required
  return named && (lifetime !== custom || /^[1-9]\d{0,5}$/.test(days))
}

function expiryOf({ lifetime, days }: Values, { lifetime: { presets } }: Options): string | undefined {
  const preset = presets.find((one) => String(one.days) === lifetime)
  if (preset) return preset.expires_at
  const count = Number(days)
  if (lifetime !== custom || !(count > 0 && count <= 36_525)) return undefined
  return new Date(Date.now() + count * dayMs).toISOString()
}

function dated(at: string | undefined | null) {
  return at ? formatLong(at) : words.create.typeDays
}

function isTouched(field: string, touched: Set<string>): boolean {
  const names: Record<string, string[]> = {
    allowed_cidrs: ['networks'],
    lifetime_days: ['lifetime', 'days'],
    owner: ['owner', 'email'],
  }
  const [first = ''] = field.split('.')
  return (names[first] ?? [first]).some((name) => touched.has(name))
}

/** The same request from a terminal. */
function commandFor(organization: string, body: NewToken): string {
  const quoted = JSON.stringify(body).replaceAll("'", "'\\''")
  return [
    `curl ${apiUrl}/v1/organizations/${encodeURIComponent(organization)}/tokens \\`,
    `  -H "Authorization: Bearer $ADMIN" \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d '${quoted}'`,
  ].join('\n')
}

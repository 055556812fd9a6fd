import type { ComponentChildren, TargetedSubmitEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { api, done, type Refusal, type Shapes, withResponse } from '../api.ts'
import { formatCount } from '../format.ts'
import { hrefOf, organizationPath } from '../router.ts'
import { may, useMe } from '../session.ts'
import type { ScreenProps } from '../shell.tsx'
import {
  announce,
  Failure,
  Field,
  FieldErrors,
  FormError,
  focusWrong,
  Heading,
  Notice,
  useLoad,
} from '../ui.tsx'
import { words } from '../words.ts'

type Rules = Shapes['Policy']
type Kind =
  | { kind: 'number'; optional?: boolean }
  | { kind: 'numbers' }
  | { kind: 'names'; optional?: boolean }
  | { kind: 'switch' }
  | { kind: 'choice'; of: readonly string[] }

/** The rules by their paths in the policy, in the order and groups of the form. */
const sections: Record<string, Record<string, Kind>> = {
  lifetime: {
    'lifetime.presets_days': { kind: 'numbers' },
    'lifetime.default_days': { kind: 'number', optional: true },
    'lifetime.minimum_days': { kind: 'number' },
    'lifetime.minimum_seconds': { kind: 'number', optional: true },
    'lifetime.maximum_days': { kind: 'number', optional: true },
    'lifetime.on_too_long': { kind: 'choice', of: ['refuse', 'reduce'] },
    'lifetime.allow_no_expiry': { kind: 'switch' },
  },
  creation: {
    'creation.sso_users': { kind: 'switch' },
    allowed_types: { kind: 'names', optional: true },
    'scopes.required': { kind: 'switch' },
    'name.required': { kind: 'switch' },
    'name.minimum_length': { kind: 'number' },
    'name.unique': { kind: 'switch' },
    'limits.active_per_owner': { kind: 'number', optional: true },
    'limits.active_per_organization': { kind: 'number', optional: true },
  },
  rotation: {
    'rotation.default_overlap_seconds': { kind: 'number' },
    'rotation.maximum_overlap_seconds': { kind: 'number' },
    'rotation.first_use_within_days': { kind: 'number' },
    'rotation.every_days': { kind: 'number', optional: true },
    'rotation.keep_superseded_days': { kind: 'number' },
    'rotation.on_superseded_use': { kind: 'choice', of: ['ignore', 'notify', 'revoke'] },
  },
  end: {
    on_leak: { kind: 'choice', of: ['notify', 'revoke', 'rotate'] },
    'delete.confirm_name': { kind: 'switch' },
    'scim.subject': { kind: 'choice', of: ['user_name', 'external_id'] },
  },
  notifications: {
    'expiry_warning.warning_days': { kind: 'number' },
    'expiry_warning.imminent_hours': { kind: 'number' },
    'notifications.expiry_days': { kind: 'numbers' },
    'notifications.mail_owners': { kind: 'switch' },
    'notifications.mail_to': { kind: 'names' },
  },
}

const rules: Record<string, Kind> = Object.assign({}, ...Object.values(sections))

type Values = Record<string, string>

export default function Policy({ organization }: ScreenProps) {
  const loaded = useLoad(`policy view ${organization}`, (signal) =>
    withResponse(
      api.GET('/v1/organizations/{organization}/policy', { params: { path: { organization } }, signal }),
    ),
  )
  return (
    <>
      <Heading>{words.policy.title}</Heading>
      <p class="lead">{words.policy.help}</p>
      {loaded.error && <Failure error={loaded.error} retry={loaded.reload} />}
      {loaded.data && (
        <Form
          organization={organization}
          view={loaded.data.data}
          etag={loaded.data.etag}
          onSaved={loaded.reload}
        />
      )}
    </>
  )
}

type FormProps = {
  organization: string
  view: Shapes['PolicyView']
  etag: string | null
  onSaved: () => void
}

function Form({ organization, view, etag, onSaved }: FormProps) {
  const mayWrite = may(useMe(), 'policy:write')
  const [values, setValues] = useState<Values>(() => valuesOf(view.policy))
  const [inherited, setInherited] = useState<Set<string>>(new Set())
  const [error, setError] = useState<Refusal>()
  const [breaking, setBreaking] = useState<Shapes['PolicyChange']['breaking_tokens']>()
  const form = useRef<HTMLFormElement>(null)
  // The saved values are shown in the same fields, so that the focus does not move.
  useEffect(() => {
    setValues(valuesOf(view.policy))
    setInherited(new Set())
    setBreaking(undefined)
  }, [etag])
  const patch = patchOf(values, valuesOf(view.policy), inherited)
  const changed = Object.keys(patch).length > 0

  const send = async (dryRun: boolean) =>
    done(
      api.PATCH('/v1/organizations/{organization}/policy', {
        params: {
          path: { organization },
          query: { dry_run: dryRun },
          ...(etag && !dryRun && { header: { 'if-match': etag } }),
        },
        body: patch as Shapes['PolicyPatch'],
      }),
    )
  const attempt = async (work: () => Promise<void>) => {
    try {
      setError(undefined)
      await work()
    } catch (refusal) {
      setError(refusal as Refusal)
      focusWrong(form.current)
    }
  }
  const preview = () => attempt(async () => setBreaking((await send(true)).breaking_tokens))
  const submit = (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (!changed) return
    void attempt(async () => {
      await send(false)
      announce(words.saved)
      onSaved()
    })
  }
  const set = (name: string, value: string) => {
    setValues({ ...values, [name]: value })
    setBreaking(undefined)
    setInherited((before) => new Set([...before].filter((one) => one !== name)))
  }
  const inherit = (name: string) => {
    setInherited(new Set([...inherited, name]))
    setBreaking(undefined)
  }
  return (
    <form ref={form} class="policy" onSubmit={submit} noValidate>
      <FieldErrors value={error?.fields ?? []}>
        {Object.entries(sections).map(([section, rules]) => (
          <fieldset key={section} disabled={!mayWrite}>
            <legend>{words.policy.sections[section]}</legend>
            {Object.entries(rules).map(([name, kind]) => {
              const own = view.sources[name] === 'organization'
              const source = inherited.has(name)
                ? words.policy.willInherit
                : own
                  ? words.policy.own
                  : words.policy.inherited
              return (
                <Rule
                  key={name}
                  name={name}
                  kind={kind}
                  value={values[name] ?? ''}
                  set={(value) => set(name, value)}
                  help={
                    <>
                      <span class={own ? 'source own' : 'source'}>{source}</span>
                      {own && mayWrite && !inherited.has(name) && organization !== 'platform' && (
                        <button type="button" class="link" onClick={() => inherit(name)}>
                          {words.policy.inherit}
                        </button>
                      )}
                    </>
                  }
                />
              )
            })}
          </fieldset>
        ))}
      </FieldErrors>
      {mayWrite && (
        <div class="save">
          <FormError error={error} shown={Object.keys(rules).map((name) => name.split('.')[0] ?? '')} />
          {breaking && <Breaking organization={organization} breaking={breaking} />}
          <div class="buttons">
            <button type="button" aria-disabled={!changed} onClick={() => changed && preview()}>
              {words.policy.preview}
            </button>
            <button type="submit" class="primary" aria-disabled={!changed}>
              {words.save}
            </button>
          </div>
        </div>
      )}
    </form>
  )
}

function Breaking({
  organization,
  breaking,
}: {
  organization: string
  breaking: Shapes['PolicyChange']['breaking_tokens']
}) {
  if (breaking.count === 0) return <Notice kind="info">{words.policy.breaksNone}</Notice>
  return (
    <Notice kind="warning">
      <p>{words.policy.breaks(formatCount(breaking))}</p>
      <ul>
        {breaking.items.map(({ id, name, rules }) => (
          <li key={id}>
            <a href={hrefOf(organizationPath(organization, `/tokens/${id}`))}>{name}</a>{' '}
            <span class="help">{rules.map(words.policy.rule).join(', ')}</span>
          </li>
        ))}
      </ul>
    </Notice>
  )
}

type RuleProps = {
  name: string
  kind: Kind
  value: string
  set: (value: string) => void
  help: ComponentChildren
}

function Rule({ name, kind, value, set, help }: RuleProps) {
  const label = words.policy.rule(name)
  return (
    <Field label={label} name={name} help={help}>
      {(props) => {
        if (kind.kind === 'switch' || kind.kind === 'choice')
          return (
            <select {...props} value={value} onChange={(event) => set(event.currentTarget.value)}>
              {(kind.kind === 'switch' ? ['true', 'false'] : kind.of).map((one) => (
                <option key={one} value={one}>
                  {words.policy.choices[one as keyof typeof words.policy.choices]}
                </option>
              ))}
            </select>
          )
        return (
          <input
            {...props}
            inputMode={kind.kind === 'number' ? 'numeric' : 'text'}
            placeholder={kind.kind === 'number' && !kind.optional ? '' : words.policy.empty(name)}
            value={value}
            autocomplete="off"
            onInput={(event) => set(event.currentTarget.value)}
          />
        )
      }}
    </Field>
  )
}

/** The rules as text in the fields. */
function valuesOf(policy: Rules): Values {
  const valueAt = (name: string) =>
    name.split('.').reduce<unknown>((value, member) => (value as Record<string, unknown>)[member], policy)
  return Object.fromEntries(
    Object.keys(rules).map((name) => {
      const value = valueAt(name)
      return [name, Array.isArray(value) ? value.join(', ') : String(value ?? '')]
    }),
  )
}

/** The members that were changed; null inherits the platform's value again, or means no limit. */
function patchOf(values: Values, before: Values, inherited: Set<string>): Record<string, unknown> {
  const patch: Record<string, unknown> = {}
  for (const [name, kind] of Object.entries(rules)) {
    const text = values[name] ?? ''
    if (!inherited.has(name) && text === before[name]) continue
    const value = inherited.has(name) ? null : parsed(kind, text)
    const [section = '', rule] = name.split('.')
    patch[section] = rule === undefined ? value : { ...(patch[section] as object), [rule]: value }
  }
  return patch
}

function parsed(kind: Kind, text: string): unknown {
  if (kind.kind === 'switch') return text === 'true'
  const items = text.split(/[\s,]+/).filter(Boolean)
  if (kind.kind === 'numbers') return items.map(numberOr)
  if (kind.kind === 'names') return items.length === 0 && kind.optional ? null : items
  if (kind.kind === 'number') return text.trim() === '' ? null : numberOr(text.trim())
  return text
}

/** Text that is not a number is sent unchanged: the service returns the error. */
function numberOr(text: string): number | string {
  return /^-?\d+$/.test(text) ? Number(text) : text
}

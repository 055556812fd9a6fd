import { useState } from 'preact/hooks'
import { api, done, type Shapes } from '../api.ts'
import { may, useMe } from '../session.ts'
import type { ScreenProps } from '../shell.tsx'
import { announce, Confirm, Failure, Field, Heading, Menu, Skeleton, useLoad } from '../ui.tsx'
import { words } from '../words.ts'

type TokenType = Shapes['TokenType']
type Asking = { deed: 'create' } | { deed: 'change' | 'suspend' | 'resume' | 'delete'; type: TokenType }

/** The token types that an organization can use: the platform's, and its own, which can be changed here. */
export default function Types({ organization }: ScreenProps) {
  const me = useMe()
  const [asking, setAsking] = useState<Asking>()
  const { data, error, reload } = useLoad(`token types ${organization}`, (signal) =>
    done(
      api.GET('/v1/organizations/{organization}/token-types', { params: { path: { organization } }, signal }),
    ),
  )
  const mayWrite = may(me, 'policy:write')
  const close = () => setAsking(undefined)
  const finish = (text: string) => {
    announce(text)
    close()
    reload()
  }
  return (
    <>
      <Heading
        title={words.types.title}
        actions={
          mayWrite && (
            <button type="button" class="primary" onClick={() => setAsking({ deed: 'create' })}>
              {words.types.create}
            </button>
          )
        }
      >
        {words.types.title}
      </Heading>
      {error && <Failure error={error} retry={reload} />}
      <table class="list types">
        <caption class="hidden">{words.types.title}</caption>
        <thead>
          <tr>
            <th scope="col">{words.token.name}</th>
            <th scope="col">{words.types.prefix}</th>
            <th scope="col">{words.types.format}</th>
            <th scope="col">{words.types.of}</th>
            <th scope="col">
              <span class="hidden">{words.token.actions}</span>
            </th>
          </tr>
        </thead>
        {!data && !error && <Skeleton rows={4} columns={5} />}
        <tbody>
          {data?.items.map((type) => (
            <tr key={`${type.organization} ${type.name}`}>
              <th scope="row">
                <span class="strong">{type.name}</span>
                {type.suspended_at && <span class="pill suspended">{words.suspended}</span>}
                {type.description && <span class="scopes">{type.description}</span>}
              </th>
              <td data-label={words.types.prefix}>
                <code>{type.prefix}_</code>
              </td>
              <td data-label={words.types.format}>{words.types.formats[type.format]}</td>
              <td data-label={words.types.of}>
                {type.organization === null ? words.types.platform : words.types.own}
              </td>
              <td class="end">
                {mayWrite && type.organization !== null && (
                  <Menu
                    label={words.token.actionsOf(type.name)}
                    items={[
                      { label: words.change, act: () => setAsking({ deed: 'change', type }) },
                      type.suspended_at
                        ? { label: words.resume, act: () => setAsking({ deed: 'resume', type }) }
                        : {
                            label: words.suspend,
                            danger: true,
                            act: () => setAsking({ deed: 'suspend', type }),
                          },
                      {
                        label: words.delete.action,
                        danger: true,
                        act: () => setAsking({ deed: 'delete', type }),
                      },
                    ]}
                  />
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {asking && <Change organization={organization} asking={asking} onClose={close} onDone={finish} />}
    </>
  )
}

type ChangeProps = {
  organization: string
  asking: Asking
  onClose: () => void
  onDone: (text: string) => void
}

function Change({ organization, asking, onClose, onDone }: ChangeProps) {
  const { deed } = asking
  const type = deed === 'create' ? undefined : asking.type
  const [allowed, setAllowed] = useState(type?.allowed_scopes ?? [])
  const text = (form: FormData, name: string) => String(form.get(name) ?? '').trim()
  const act = async (form: FormData) => {
    const name = type?.name ?? text(form, 'name')
    const params = { path: { organization, type: name } }
    const body = {
      description: text(form, 'description') || null,
      endpoint: text(form, 'endpoint') || null,
      allowed_scopes: allowed.length > 0 ? allowed : null,
      default_scopes: scopesIn(text(form, 'default_scopes')),
      scope_details: allowed
        .map((scope) => ({
          scope,
          label: text(form, `label ${scope}`),
          description: text(form, `description ${scope}`) || null,
        }))
        .filter(({ label }) => label),
    }
    if (deed === 'create')
      await done(
        api.POST('/v1/organizations/{organization}/token-types', {
          params: { path: { organization } },
          body: { ...body, name, format: 'opaque', prefix: text(form, 'prefix') || name },
        }),
      )
    else if (deed === 'change')
      await done(api.PATCH('/v1/organizations/{organization}/token-types/{type}', { params, body }))
    else if (deed === 'delete')
      await done(api.DELETE('/v1/organizations/{organization}/token-types/{type}', { params }))
    else if (deed === 'suspend')
      await done(api.POST('/v1/organizations/{organization}/token-types/{type}/suspend', { params }))
    else await done(api.POST('/v1/organizations/{organization}/token-types/{type}/resume', { params }))
    onDone(words.types.done[deed](name))
  }
  const edits = deed === 'create' || deed === 'change'
  return (
    <Confirm
      title={words.types.titles[deed](type?.name ?? '')}
      deed={words.types.deeds[deed]}
      danger={deed === 'suspend' || deed === 'delete'}
      onClose={onClose}
      act={act}
    >
      {!edits && <p>{words.types.helps[deed]}</p>}
      {deed === 'create' && (
        <>
          <Field label={words.token.name} name="name" help={words.types.nameHelp}>
            {(props) => <input {...props} required maxLength={50} autocomplete="off" spellcheck={false} />}
          </Field>
          <Field label={words.types.prefix} name="prefix" help={words.types.prefixHelp} optional>
            {(props) => (
              <input {...props} maxLength={20} class="mono" autocomplete="off" spellcheck={false} />
            )}
          </Field>
        </>
      )}
      {edits && (
        <>
          <Field label={words.types.description} name="description" optional>
            {(props) => <input {...props} defaultValue={type?.description ?? ''} autocomplete="off" />}
          </Field>
          <Field label={words.token.endpoint} name="endpoint" help={words.types.endpointHelp} optional>
            {(props) => (
              <input
                {...props}
                defaultValue={type?.endpoint ?? ''}
                class="mono"
                autocomplete="off"
                spellcheck={false}
              />
            )}
          </Field>
          <Field label={words.types.allowed} name="allowed_scopes" help={words.types.allowedHelp} optional>
            {(props) => (
              <input
                {...props}
                defaultValue={allowed.join(' ')}
                onInput={(event) => setAllowed([...new Set(scopesIn(event.currentTarget.value))])}
                class="mono"
                autocomplete="off"
                spellcheck={false}
              />
            )}
          </Field>
          <Field label={words.types.defaults} name="default_scopes" help={words.create.scopesHelp} optional>
            {(props) => (
              <input
                {...props}
                defaultValue={type?.default_scopes.join(' ') ?? ''}
                class="mono"
                autocomplete="off"
                spellcheck={false}
              />
            )}
          </Field>
          {allowed.length > 0 && <ScopeLabels scopes={allowed} details={type?.scope_details ?? []} />}
        </>
      )}
    </Confirm>
  )
}

const scopesIn = (text: string) => text.split(/[\s,]+/).filter(Boolean)

/** The labels that are shown for scopes. */
function ScopeLabels({ scopes, details }: { scopes: string[]; details: Shapes['ScopeDetail'][] }) {
  return (
    <fieldset class="scope-labels">
      <legend>
        {words.types.details}
        <span class="optional">{words.optional}</span>
      </legend>
      <p class="help">{words.types.detailsHelp}</p>
      {scopes.map((scope) => {
        const detail = details.find((one) => one.scope === scope)
        return (
          <div key={scope}>
            <code>{scope}</code>
            <input
              name={`label ${scope}`}
              maxLength={200}
              defaultValue={detail?.label ?? ''}
              placeholder={words.types.label}
              aria-label={words.types.labelOf(scope)}
              autocomplete="off"
            />
            <input
              name={`description ${scope}`}
              maxLength={1000}
              defaultValue={detail?.description ?? ''}
              placeholder={words.types.description}
              aria-label={words.types.descriptionOf(scope)}
              autocomplete="off"
            />
          </div>
        )
      })}
    </fieldset>
  )
}

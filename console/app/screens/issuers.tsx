import { useState } from 'preact/hooks'
import { api, done, type Shapes } from '../api.ts'
import { may, useMe } from '../session.ts'
import type { ScreenProps } from '../shell.tsx'
import {
  announce,
  Confirm,
  Copyable,
  Empty,
  Failure,
  Field,
  Heading,
  Menu,
  Skeleton,
  useLoad,
} from '../ui.tsx'
import { words } from '../words.ts'

type Issuer = Shapes['TrustedIssuer']
type Asking = { deed: 'add' } | { deed: 'change' | 'delete'; issuer: Issuer }

const permissions = [
  'tokens:own',
  'tokens:read',
  'tokens:write',
  'tokens:introspect',
  'policy:read',
  'policy:write',
  'audit:read',
] as const
type Permission = Issuer['default_permissions'][number]

/** The OpenID providers whose users may manage tokens. */
export default function Issuers({ organization }: ScreenProps) {
  const me = useMe()
  const [asking, setAsking] = useState<Asking>()
  const { data, error, reload } = useLoad(`issuers ${organization}`, (signal) =>
    done(api.GET('/v1/organizations/{organization}/issuers', { params: { path: { organization } }, signal })),
  )
  const mayWrite = may(me, 'policy:write')
  const add = mayWrite && (
    <button type="button" class="primary" onClick={() => setAsking({ deed: 'add' })}>
      {words.issuers.add}
    </button>
  )
  const finish = (text: string) => {
    announce(text)
    setAsking(undefined)
    reload()
  }
  return (
    <>
      <Heading title={words.issuers.title} actions={data && data.items.length > 0 && add}>
        {words.issuers.title}
      </Heading>
      {error && <Failure error={error} retry={reload} />}
      {data?.items.length === 0 ? (
        <Empty title={words.issuers.none}>
          <p>{words.issuers.noneHelp}</p>
          {add}
        </Empty>
      ) : (
        <table class="list issuers">
          <caption class="hidden">{words.issuers.title}</caption>
          <thead>
            <tr>
              <th scope="col">{words.token.name}</th>
              <th scope="col">{words.issuers.issuer}</th>
              <th scope="col">{words.issuers.audience}</th>
              <th scope="col">
                <span class="hidden">{words.token.actions}</span>
              </th>
            </tr>
          </thead>
          {!data && !error && <Skeleton rows={2} columns={4} />}
          <tbody>
            {data?.items.map((issuer) => (
              <tr key={issuer.id}>
                <th scope="row">
                  <span class="strong">{issuer.name}</span>
                </th>
                <td>
                  <code class="clip" title={issuer.issuer}>
                    {issuer.issuer}
                  </code>
                </td>
                <td class="clip" data-label={words.issuers.audience}>
                  <code>{issuer.audience}</code>
                </td>
                <td class="end">
                  {mayWrite && (
                    <Menu
                      label={words.token.actionsOf(issuer.name)}
                      items={[
                        { label: words.change, act: () => setAsking({ deed: 'change', issuer }) },
                        {
                          label: words.delete.action,
                          danger: true,
                          act: () => setAsking({ deed: 'delete', issuer }),
                        },
                      ]}
                    />
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {asking?.deed === 'delete' && (
        <Confirm
          title={words.issuers.deleteTitle(asking.issuer.name)}
          deed={words.issuers.delete}
          danger
          onClose={() => setAsking(undefined)}
          act={async () => {
            const path = { organization, issuer: asking.issuer.id }
            await done(api.DELETE('/v1/organizations/{organization}/issuers/{issuer}', { params: { path } }))
            finish(words.issuers.deleted)
          }}
        >
          <p>{words.issuers.deleteHelp}</p>
        </Confirm>
      )}
      {asking && asking.deed !== 'delete' && (
        <Edit
          organization={organization}
          issuer={asking.deed === 'change' ? asking.issuer : undefined}
          onClose={() => setAsking(undefined)}
          onDone={finish}
        />
      )}
    </>
  )
}

type EditProps = {
  organization: string
  issuer: Issuer | undefined
  onClose: () => void
  onDone: (text: string) => void
}

function Edit({ organization, issuer, onClose, onDone }: EditProps) {
  const [groups, setGroups] = useState(() =>
    (issuer?.group_permissions ?? []).map((row) => `${row.group}: ${row.permissions.join(' ')}`).join('\n'),
  )
  const act = async (form: FormData) => {
    const text = (name: string) => String(form.get(name) ?? '').trim()
    const body = {
      name: text('name'),
      issuer: text('issuer'),
      audience: text('audience'),
      ...(issuer && { jwks_uri: issuer.jwks_uri, algorithms: issuer.algorithms, claims: issuer.claims }),
      ...(!issuer && organization === 'platform' && { claims: { organization: null } }),
      default_permissions: permissions.filter((one) => form.getAll('default').includes(one)),
      group_permissions: groupsIn(groups),
      ...(text('client_id') && { client_id: text('client_id'), scope: text('scope') }),
      ...(text('client_secret') && { client_secret: text('client_secret') }),
    }
    if (issuer)
      await done(
        api.PUT('/v1/organizations/{organization}/issuers/{issuer}', {
          params: { path: { organization, issuer: issuer.id } },
          body,
        }),
      )
    else
      await done(
        api.POST('/v1/organizations/{organization}/issuers', { params: { path: { organization } }, body }),
      )
    onDone(words.issuers.saved(body.name))
  }
  const input = { autocomplete: 'off', spellcheck: false, required: true } as const
  return (
    <Confirm
      title={issuer ? words.issuers.changeTitle(issuer.name) : words.issuers.add}
      deed={issuer ? words.save : words.issuers.add}
      onClose={onClose}
      act={act}
    >
      <Field label={words.token.name} name="name">
        {(props) => <input {...props} {...input} defaultValue={issuer?.name ?? ''} />}
      </Field>
      <Field label={words.issuers.issuer} name="issuer" help={words.issuers.issuerHelp}>
        {(props) => <input {...props} {...input} class="mono" defaultValue={issuer?.issuer ?? ''} />}
      </Field>
      <Field label={words.issuers.audience} name="audience" help={words.issuers.audienceHelp}>
        {(props) => <input {...props} {...input} class="mono" defaultValue={issuer?.audience ?? ''} />}
      </Field>
      <fieldset class="choices">
        <legend>{words.issuers.everybody}</legend>
        <div class="checks">
          {permissions.map((permission) => (
            <label key={permission}>
              <input
                type="checkbox"
                name="default"
                value={permission}
                defaultChecked={
                  issuer?.default_permissions.includes(permission) ?? permission === 'tokens:own'
                }
              />
              {words.permission[permission]}
            </label>
          ))}
        </div>
      </fieldset>
      <Field label={words.issuers.groups} name="group_permissions" help={words.issuers.groupsHelp} optional>
        {(props) => (
          <textarea
            {...props}
            rows={3}
            class="mono"
            spellcheck={false}
            value={groups}
            onInput={(event) => setGroups(event.currentTarget.value)}
          />
        )}
      </Field>
      <fieldset class="client">
        <legend>{words.issuers.client}</legend>
        <Field label={words.issuers.clientId} name="client_id" help={words.issuers.clientHelp} optional>
          {(props) => (
            <input
              {...props}
              {...input}
              required={false}
              class="mono"
              defaultValue={issuer?.client_id ?? ''}
            />
          )}
        </Field>
        <Field
          label={words.issuers.clientSecret}
          name="client_secret"
          help={issuer?.has_client_secret ? words.issuers.clientSecretKept : words.issuers.clientSecretHelp}
          optional
        >
          {(props) => (
            <input {...props} {...input} required={false} type="password" autocomplete="new-password" />
          )}
        </Field>
        <Field label={words.issuers.scope} name="scope" help={words.issuers.scopeHelp}>
          {(props) => (
            <input {...props} {...input} class="mono" defaultValue={issuer?.scope ?? 'openid email'} />
          )}
        </Field>
        {issuer ? (
          <>
            <p>{words.issuers.redirectUri}</p>
            <Copyable text={issuer.redirect_uri} label={words.issuers.redirectUri} />
          </>
        ) : (
          <p class="help">{words.issuers.redirectUriLater}</p>
        )}
      </fieldset>
    </Confirm>
  )
}

/** One group per line, followed by a colon, a space and its permissions. */
function groupsIn(text: string): { group: string; permissions: Permission[] }[] {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, group = line, names = ''] = /^(.*?):\s+(.*)$/.exec(line) ?? []
      return { group: group.trim(), permissions: names.split(/[\s,]+/).filter(Boolean) as Permission[] }
    })
}

import { useState } from 'preact/hooks'
import { api, done, type Shapes } from '../api.ts'
import { formatDay } from '../format.ts'
import { hrefOf, organizationPath } from '../router.ts'
import { announce, Confirm, Failure, Field, Heading, Menu, More, Skeleton, usePages } from '../ui.tsx'
import { words } from '../words.ts'

type Organization = Shapes['Organization']
type Asking =
  | { deed: 'create' }
  | { deed: 'rename' | 'suspend' | 'resume' | 'delete'; organization: Organization }

export default function Organizations() {
  const [asking, setAsking] = useState<Asking>()
  const { items, error, reload, more } = usePages('organizations', (cursor, signal) =>
    done(api.GET('/v1/organizations', { params: { query: { limit: 100, ...cursor } }, signal })),
  )
  const close = () => setAsking(undefined)
  const finish = (text: string) => {
    announce(text)
    close()
    reload()
  }
  return (
    <>
      <Heading
        title={words.organizations.title}
        actions={
          <button type="button" class="primary" onClick={() => setAsking({ deed: 'create' })}>
            {words.organizations.create}
          </button>
        }
      >
        {words.organizations.title}
      </Heading>
      {error && <Failure error={error} retry={reload} />}
      <table class="list organizations">
        <caption class="hidden">{words.organizations.title}</caption>
        <thead>
          <tr>
            <th scope="col">{words.token.name}</th>
            <th scope="col">{words.organizations.key}</th>
            <th scope="col">{words.token.created}</th>
            <th scope="col">
              <span class="hidden">{words.token.actions}</span>
            </th>
          </tr>
        </thead>
        {!items && !error && <Skeleton rows={4} columns={4} />}
        <tbody>
          {items?.map((organization) => (
            <tr key={organization.id}>
              <th scope="row">
                <a href={hrefOf(organizationPath(organization.key, '/tokens'))}>{organization.name}</a>
                {organization.suspended_at && <span class="pill suspended">{words.suspended}</span>}
              </th>
              <td>
                <code>{organization.key}</code>
              </td>
              <td>
                <time dateTime={organization.created_at}>{formatDay(organization.created_at)}</time>
              </td>
              <td class="end">
                {organization.key !== 'platform' && (
                  <Menu
                    label={words.token.actionsOf(organization.name)}
                    items={[
                      {
                        label: words.organizations.rename,
                        act: () => setAsking({ deed: 'rename', organization }),
                      },
                      organization.suspended_at
                        ? { label: words.resume, act: () => setAsking({ deed: 'resume', organization }) }
                        : {
                            label: words.suspend,
                            danger: true,
                            act: () => setAsking({ deed: 'suspend', organization }),
                          },
                      ...(organization.suspended_at
                        ? [
                            {
                              label: words.delete.action,
                              danger: true,
                              act: () => setAsking({ deed: 'delete' as const, organization }),
                            },
                          ]
                        : []),
                    ]}
                  />
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <More load={more} />
      {asking?.deed === 'create' && <Create onClose={close} onDone={finish} />}
      {asking && asking.deed !== 'create' && <Change {...asking} onClose={close} onDone={finish} />}
    </>
  )
}

type DialogProps = { onClose: () => void; onDone: (text: string) => void }

function Create({ onClose, onDone }: DialogProps) {
  const act = async (form: FormData) => {
    const name = String(form.get('name'))
    await done(api.POST('/v1/organizations', { body: { key: String(form.get('key')), name } }))
    onDone(words.organizations.created(name))
  }
  return (
    <Confirm title={words.organizations.create} deed={words.organizations.create} onClose={onClose} act={act}>
      <Field label={words.token.name} name="name">
        {(props) => <input {...props} required maxLength={200} autocomplete="off" />}
      </Field>
      <Field label={words.organizations.key} name="key" help={words.organizations.keyHelp}>
        {(props) => (
          <input {...props} required maxLength={64} class="mono" autocomplete="off" spellcheck={false} />
        )}
      </Field>
    </Confirm>
  )
}

type ChangeProps = DialogProps & Exclude<Asking, { deed: 'create' }>

function Change({ deed, organization, onClose, onDone }: ChangeProps) {
  const { name, key } = organization
  const params = { path: { organization: key } }
  const act = async (form: FormData) => {
    if (deed === 'rename')
      await done(
        api.PATCH('/v1/organizations/{organization}', { params, body: { name: String(form.get('name')) } }),
      )
    else if (deed === 'delete') await done(api.DELETE('/v1/organizations/{organization}', { params }))
    else if (deed === 'suspend') await done(api.POST('/v1/organizations/{organization}/suspend', { params }))
    else await done(api.POST('/v1/organizations/{organization}/resume', { params }))
    onDone(words.organizations.done[deed](name))
  }
  return (
    <Confirm
      title={words.organizations.titles[deed](name)}
      deed={words.organizations.deeds[deed]}
      danger={deed === 'suspend' || deed === 'delete'}
      onClose={onClose}
      act={act}
    >
      <p>{words.organizations.helps[deed]}</p>
      {deed === 'rename' && (
        <Field label={words.token.name} name="name">
          {(props) => <input {...props} required maxLength={200} defaultValue={name} autocomplete="off" />}
        </Field>
      )}
    </Confirm>
  )
}

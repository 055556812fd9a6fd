import { useState } from 'preact/hooks'
import { api, done, type Token } from './api.ts'
import { announce, Confirm, Field, useLoad } from './ui.tsx'
import { words } from './words.ts'

type DialogProps = { token: Token; onClose: () => void; onDone: (token?: Token) => void }

const pathOf = ({ organization, id }: Token) => ({ organization, token: id })

export function RevokeDialog({ token, onClose, onDone }: DialogProps) {
  const act = async (form: FormData) => {
    const reason = String(form.get('reason') ?? '').trim()
    const revoked = await done(
      api.POST('/v1/organizations/{organization}/tokens/{token}/revoke', {
        params: { path: pathOf(token) },
        body: reason ? { reason } : {},
      }),
    )
    announce(words.revoke.done(token.name))
    onClose()
    onDone(revoked)
  }
  return (
    <Confirm
      title={words.revoke.title(token.name)}
      deed={words.revoke.deed}
      danger
      onClose={onClose}
      act={act}
    >
      <p>{words.revoke.consequence}</p>
      <Field label={words.revoke.reason} name="reason" help={words.revoke.reasonHelp} optional>
        {(props) => <input {...props} maxLength={500} autocomplete="off" />}
      </Field>
    </Confirm>
  )
}

export function DeleteDialog({ token, onClose, onDone }: DialogProps) {
  const { organization } = token
  const [typed, setTyped] = useState('')
  const policy = useLoad(`policy ${organization}`, (signal) =>
    done(
      api.GET('/v1/organizations/{organization}/tokens/options', {
        params: { path: { organization } },
        signal,
      }),
    ),
  )
  const needsName = policy.data?.delete.confirm_name ?? true
  const act = async () => {
    await done(
      api.DELETE('/v1/organizations/{organization}/tokens/{token}', {
        params: { path: pathOf(token), query: needsName ? { confirm: typed } : {} },
      }),
    )
    announce(words.delete.done(token.name))
    onClose()
    onDone()
  }
  // The dialog opens in its final size.
  if (!policy.data && !policy.error) return null
  return (
    <Confirm
      title={words.delete.title(token.name)}
      deed={words.delete.deed}
      danger
      onClose={onClose}
      act={act}
      disabled={needsName && typed !== token.name}
    >
      <p>{token.status === 'active' ? words.delete.activeConsequence : words.delete.consequence}</p>
      {needsName && (
        <Field label={words.delete.confirm(token.name)} name="confirm">
          {(props) => (
            <input
              {...props}
              autocomplete="off"
              spellcheck={false}
              onInput={(event) => setTyped(event.currentTarget.value)}
            />
          )}
        </Field>
      )}
    </Confirm>
  )
}

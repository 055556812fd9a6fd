import type { TargetedSubmitEvent } from 'preact'
import { useRef, useState } from 'preact/hooks'
import type { Refusal } from './api.ts'
import { usePlace } from './router.ts'
import {
  findProviders,
  type Provider,
  type Providers,
  rememberedOrganization,
  startSignIn,
} from './session.ts'
import { Failure, Field, Notice } from './ui.tsx'
import { words } from './words.ts'

type ProviderChoiceProps = { providers: Providers; onFound: (providers: Providers) => void }

/** The OpenID providers of the platform and, once its key is entered, of an organization. */
export function ProviderChoice({ providers, onFound }: ProviderChoiceProps) {
  const { query } = usePlace()
  const { items, by_organization } = providers
  const [organization, setOrganization] = useState(rememberedOrganization(query))
  const [error, setError] = useState<Refusal>()
  const [none, setNone] = useState(false)
  const [busy, setBusy] = useState<string>()
  const input = useRef<HTMLInputElement>(null)

  const look = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    const key = input.current?.value.trim() ?? ''
    setError(undefined)
    try {
      const found = await findProviders(key)
      onFound(found)
      setOrganization(key)
      setNone(found.items.every((provider) => provider.of_platform))
    } catch (refusal) {
      setError(refusal as Refusal)
    }
  }
  const start = async ({ id }: Provider) => {
    setBusy(id)
    setError(undefined)
    try {
      await startSignIn(id, organization)
    } catch (refusal) {
      setBusy(undefined)
      setError(refusal as Refusal)
    }
  }

  if (items.length === 0 && !by_organization) return null
  return (
    <>
      <div class="providers">
        {items.map((provider) => (
          <button
            key={provider.id}
            type="button"
            class="primary"
            aria-busy={busy === provider.id}
            onClick={() => start(provider)}
          >
            {words.signIn.with(provider.name)}
          </button>
        ))}
        {error && <Failure error={error} />}
        {by_organization && (
          <form onSubmit={look}>
            <Field
              label={words.signIn.organization}
              name="organization"
              help={words.signIn.organizationHelp}
              {...(none && { error: words.signIn.noProvider })}
            >
              {(props) => (
                <input
                  {...props}
                  ref={input}
                  required
                  autocomplete="organization"
                  autocapitalize="none"
                  spellcheck={false}
                  defaultValue={organization}
                />
              )}
            </Field>
            <button type="submit">{words.signIn.look}</button>
          </form>
        )}
      </div>
      <p class="or">{words.signIn.or}</p>
    </>
  )
}

/** The reason for a failed sign-in, after the provider has redirected back. */
export function SignInFailure() {
  const { query } = usePlace()
  const failure = query.get('error')
  if (failure === null) return null
  const { failures } = words.signIn
  const text = Object.hasOwn(failures, failure) ? failures[failure as keyof typeof failures] : failures.failed
  return (
    <Notice kind="warning">
      <p>{text}</p>
    </Notice>
  )
}

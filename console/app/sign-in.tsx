import type { TargetedSubmitEvent } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Refusal } from './api.ts'
import { ProviderChoice, SignInFailure } from './providers.tsx'
import { usePlace } from './router.ts'
import {
  findProviders,
  type Providers,
  rememberedOrganization,
  signInWithLink,
  signInWithToken,
} from './session.ts'
import { Failure, Field, Heading, Notice } from './ui.tsx'
import { words } from './words.ts'

export function SignIn({ code, onSignedIn }: { code: string | undefined; onSignedIn: () => Promise<void> }) {
  const [error, setError] = useState<Refusal>()
  const [usedLink, setUsedLink] = useState(false)
  const [busy, setBusy] = useState(false)
  const [providers, setProviders] = useState<Providers>()
  const { query } = usePlace()
  const input = useRef<HTMLInputElement>(null)

  useEffect(() => {
    findProviders(rememberedOrganization(query)).then(setProviders, () =>
      setProviders({ items: [], by_organization: false }),
    )
  }, [])

  useEffect(() => {
    if (!code) return
    setBusy(true)
    signInWithLink(code)
      .then(async (good) => (good ? onSignedIn() : setUsedLink(true)))
      .catch(() => setUsedLink(true))
      .finally(() => setBusy(false))
  }, [])

  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    const token = input.current?.value.trim() ?? ''
    setBusy(true)
    try {
      await signInWithToken(token)
      await onSignedIn()
    } catch (refusal) {
      setError(refusal as Refusal)
      input.current?.select()
    } finally {
      setBusy(false)
    }
  }

  const refused = error?.status === 401 ? words.signIn.refused : undefined
  return (
    <main class="sign-in">
      <p class="brand">{words.product}</p>
      <Heading title={words.signIn.title}>{words.signIn.title}</Heading>
      {!isSecureContext && <Notice kind="warning">{words.signIn.insecure}</Notice>}
      {usedLink && <Notice kind="warning">{words.signIn.usedLink}</Notice>}
      <SignInFailure />
      {providers && <ProviderChoice providers={providers} onFound={setProviders} />}
      {/* Hidden until then, so that the form does not move when the providers are loaded. */}
      <form hidden={!providers} onSubmit={submit}>
        <Field label={words.signIn.token} name="token" help={words.signIn.tokenHelp} error={refused}>
          {(props) => (
            <input
              {...props}
              ref={input}
              type="password"
              required
              autocomplete="off"
              spellcheck={false}
              class="mono"
            />
          )}
        </Field>
        {error && !refused && <Failure error={error} />}
        <button type="submit" class={providers?.items.length ? '' : 'primary'} aria-busy={busy}>
          {words.signIn.submit}
        </button>
      </form>
    </main>
  )
}

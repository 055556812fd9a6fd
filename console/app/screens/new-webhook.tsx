import type { TargetedSubmitEvent } from 'preact'
import { useRef, useState } from 'preact/hooks'
import { api, done, type Refusal, type Shapes } from '../api.ts'
import { go, hrefOf, organizationPath } from '../router.ts'
import type { ScreenProps } from '../shell.tsx'
import { announce, FieldErrors, FormError, focusWrong, Heading } from '../ui.tsx'
import { words } from '../words.ts'
import { WebhookFields, webhookIn } from './webhook-fields.tsx'
import { WebhookReveal } from './webhook-reveal.tsx'

const signatures = ['hmac', 'ed25519'] as const

/** Registers an endpoint, and then shows the secret for verifying messages. */
export default function NewWebhook({ organization }: ScreenProps) {
  const path = organizationPath(organization, '/webhooks')
  const [made, setMade] = useState<Shapes['WebhookWithSecret']>()
  const [error, setError] = useState<Refusal>()
  const [busy, setBusy] = useState(false)
  const form = useRef<HTMLFormElement>(null)
  const submit = async (event: TargetedSubmitEvent<HTMLFormElement>) => {
    event.preventDefault()
    if (busy) return
    setBusy(true)
    const given = new FormData(event.currentTarget)
    try {
      const webhook = await done(
        api.POST('/v1/organizations/{organization}/webhooks', {
          params: { path: { organization } },
          body: { ...webhookIn(given), signature: given.get('signature') as (typeof signatures)[number] },
        }),
      )
      if (webhook.secret !== null) return setMade(webhook)
      announce(words.webhooks.added)
      await go(hrefOf(`${path}/${webhook.id}`))
    } catch (refusal) {
      setError(refusal as Refusal)
      setBusy(false)
      focusWrong(form.current)
    }
  }
  if (made?.secret)
    return (
      <WebhookReveal
        webhook={made}
        secret={made.secret}
        title={words.webhooks.added}
        onDone={() => setMade(undefined)}
        leave={() => go(hrefOf(`${path}/${made.id}`))}
      />
    )
  return (
    <>
      <p class="crumbs">
        <a href={hrefOf(path)}>{words.webhooks.title}</a>
      </p>
      <Heading>{words.webhooks.add}</Heading>
      <form ref={form} class="narrow" onSubmit={submit} noValidate>
        <FieldErrors value={error?.fields ?? []}>
          <WebhookFields />
          <fieldset class="choices">
            <legend>{words.webhooks.signature}</legend>
            {signatures.map((signature) => (
              <label key={signature} class="choice">
                <input
                  type="radio"
                  name="signature"
                  value={signature}
                  defaultChecked={signature === 'hmac'}
                />
                <span>
                  <strong>{words.webhooks.signatures[signature].name}</strong>
                  <span class="help">{words.webhooks.signatures[signature].help}</span>
                </span>
              </label>
            ))}
          </fieldset>
          <FormError error={error} shown={['url', 'description']} />
          <div class="buttons">
            <button type="submit" class="primary" aria-busy={busy}>
              {words.webhooks.add}
            </button>
            <a class="button" href={hrefOf(path)}>
              {words.cancel}
            </a>
          </div>
        </FieldErrors>
      </form>
    </>
  )
}

import { useState } from 'preact/hooks'
import type { Shapes } from '../api.ts'
import { Field } from '../ui.tsx'
import { words } from '../words.ts'

export type WebhookEvent = NonNullable<Shapes['Webhook']['events']>[number]

const events = Object.keys(words.events satisfies Record<WebhookEvent, string>) as WebhookEvent[]

/** The fields of a webhook that can also be changed later. */
export function WebhookFields({ webhook }: { webhook?: Shapes['Webhook'] }) {
  const [some, setSome] = useState(Boolean(webhook?.events))
  const choice = (value: boolean, label: string) => (
    <label class="choice">
      <input
        type="radio"
        name="some"
        value={String(value)}
        checked={some === value}
        onChange={() => setSome(value)}
      />
      <span>
        <strong>{label}</strong>
      </span>
    </label>
  )
  return (
    <>
      <Field label={words.webhooks.url} name="url" help={words.webhooks.urlHelp}>
        {(props) => (
          <input
            {...props}
            required
            maxLength={1000}
            class="mono"
            defaultValue={webhook?.url ?? ''}
            placeholder={words.webhooks.urlExample}
            autocomplete="off"
            spellcheck={false}
          />
        )}
      </Field>
      <Field label={words.webhooks.description} name="description" optional>
        {(props) => (
          <input {...props} maxLength={500} defaultValue={webhook?.description ?? ''} autocomplete="off" />
        )}
      </Field>
      <fieldset class="choices">
        <legend>{words.webhooks.events}</legend>
        {choice(false, words.webhooks.allEvents)}
        {choice(true, words.webhooks.someEvents)}
        {some && (
          <div class="checks">
            {events.map((event) => (
              <label key={event}>
                <input
                  type="checkbox"
                  name="events"
                  value={event}
                  defaultChecked={webhook?.events?.includes(event) ?? false}
                />
                <span>{words.events[event]}</span>
              </label>
            ))}
          </div>
        )}
      </fieldset>
    </>
  )
}

export function webhookIn(form: FormData) {
  return {
    url: String(form.get('url')).trim(),
    description: String(form.get('description')).trim() || null,
    events:
      form.get('some') === 'true' ? events.filter((event) => form.getAll('events').includes(event)) : null,
  }
}

import type { Shapes } from '../api.ts'
import { Facts } from '../ui.tsx'
import { words } from '../words.ts'
import { type Leaving, Reveal } from './reveal.tsx'

/** The secret of a webhook, and how to use it. */
export function WebhookReveal({
  webhook,
  ...leaving
}: Leaving & { webhook: Shapes['Webhook']; secret: string }) {
  return (
    <Reveal {...leaving} says={words.reveal.webhook}>
      {() => (
        <>
          <p class="lead">{words.webhooks.verifyHelp}</p>
          <Facts items={[[words.webhooks.url, <code key="url">{webhook.url}</code>]]} />
        </>
      )}
    </Reveal>
  )
}

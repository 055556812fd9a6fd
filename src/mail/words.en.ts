import type { Words } from './words.ts'

const date = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'full',
  timeStyle: 'short',
  timeZone: 'UTC',
})

const days = (count: number) => (count === 1 ? '1 day' : `${count} days`)

/** Every text of a mail. Another language is another file like this one. */
export const english: Words = {
  language: 'en',
  instant: (at) => `${date.format(at)} UTC`,
  labels: {
    token: 'Token',
    organization: 'Organization',
    type: 'Type',
    hint: 'Secret',
    owner: 'Owner',
    expires: 'Expires',
    webhook: 'Webhook',
    happened: 'Happened',
  },
  never: 'never',
  notices: {
    'token.expiring': (name, { days: left }) => ({
      subject: `The token “${name}” expires in ${days(Number(left))}`,
      text: 'After that, everything that uses it stops working. Rotate the token, or replace it, before then.',
    }),
    'token.expired': (name) => ({
      subject: `The token “${name}” has expired`,
      text: 'It is no longer accepted. If something still needs it, create a new token.',
    }),
    'token.rotation_due': (name, { every_days }) => ({
      subject: `The token “${name}” is due for rotation`,
      text: `Its secret is older than ${days(Number(every_days))}, as the policy of the organization allows. It still works; give the token a new secret soon.`,
    }),
    'token.superseded_secret_used': (name) => ({
      subject: `An old secret of the token “${name}” was used`,
      text: 'The secret was replaced, and its successor is in use. Either something still has the old secret, or someone else has a copy. Find out which; if in doubt, rotate the token with an overlap of 0 seconds, or revoke it.',
    }),
    'token.leaked': (name) => ({
      subject: `The token “${name}” has leaked`,
      text: 'Its secret was found where others can read it. Unless the policy has revoked it already, rotate the token with an overlap of 0 seconds, or revoke it, at once.',
    }),
    'webhook.failing': (name, { disabled_at }, instant) => ({
      subject: `The webhook ${name} is failing`,
      text: `Every delivery has failed for a day. If none succeeds before ${instant(new Date(String(disabled_at)))}, the webhook is disabled. Nothing is lost until then: deliveries are repeated.`,
    }),
    'webhook.disabled': (name) => ({
      subject: `The webhook ${name} was disabled`,
      text: 'It has failed for five days, or it responded that it is gone (410). Its deliveries wait for 30 days: repair the receiver, then enable the webhook.',
    }),
  },
  digest: {
    subject: (count, organization) => `${count} notices about tokens of ${organization}`,
    text: (count) => `${count} notices have come together. You get them in one mail a day.`,
  },
  footer: {
    owner: (organization) =>
      `You get this mail because you own the token in the organization “${organization}”.`,
    recipient: (organization) =>
      `You get this mail because the policy of the organization “${organization}” names your address for notices.`,
    sender: (url) => `Sent by Counterfoil at ${url}. It never contains a link, and never asks for a secret.`,
  },
}

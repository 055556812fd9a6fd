import type { SignalAction } from '../db/tables.ts'

/** The effect of an event on the owners that it is about. */
export const signalActions: SignalAction[] = ['suspend', 'resume', 'revoke', 'notify', 'ignore']

const risc = 'https://schemas.openid.net/secevent/risc/event-type/'
const caep = 'https://schemas.openid.net/secevent/caep/event-type/'

/**
 * The end of a session is not a reason to end tokens, which programs use: by default, only events about the account
 * itself end or suspend tokens.
 */
const byDefault = new Map<string, SignalAction>([
  [`${risc}account-disabled`, 'suspend'],
  [`${risc}account-enabled`, 'resume'],
  [`${risc}account-purged`, 'revoke'],
  [`${risc}credential-compromise`, 'suspend'],
  [`${caep}session-revoked`, 'notify'],
  [`${risc}account-credential-change-required`, 'ignore'],
  [`${risc}identifier-changed`, 'ignore'],
  [`${risc}identifier-recycled`, 'ignore'],
  [`${risc}opt-in`, 'ignore'],
  [`${risc}opt-out-initiated`, 'ignore'],
  [`${risc}opt-out-cancelled`, 'ignore'],
  [`${risc}opt-out-effective`, 'ignore'],
  [`${risc}recovery-activated`, 'ignore'],
  [`${risc}recovery-information-changed`, 'ignore'],
  [`${risc}sessions-revoked`, 'ignore'],
  [`${caep}token-claims-change`, 'ignore'],
  [`${caep}credential-change`, 'ignore'],
  [`${caep}assurance-level-change`, 'ignore'],
  [`${caep}device-compliance-change`, 'ignore'],
  [`${caep}session-established`, 'ignore'],
  [`${caep}session-presented`, 'ignore'],
  [`${caep}risk-level-change`, 'ignore'],
])

export const signalTypes = [...byDefault.keys()]

/** Types that are not known are ignored, unless the stream says otherwise. */
export function actionFor(type: string, own: Partial<Record<string, SignalAction>>): SignalAction {
  return new Map(Object.entries(own)).get(type) ?? byDefault.get(type) ?? 'ignore'
}

export function actionsOf(own: Partial<Record<string, SignalAction>>): Record<string, SignalAction> {
  return Object.fromEntries(
    [...new Set([...signalTypes, ...Object.keys(own)])].map((type) => [type, actionFor(type, own)]),
  )
}

/** The last part of a type's URI is its name in `suspended_by`. */
export function nameOf(type: string): string {
  return type.slice(type.lastIndexOf('/') + 1)
}

/** A return of the account does not end these suspensions: an administrator has to. */
const lasting = ['credential-compromise', 'account-purged']

/** Whether the event describes the current state of the account, so that a newer one replaces an older one. */
export function isAboutState(type: string): boolean {
  return !lasting.includes(nameOf(type))
}

const verification = new Set(
  ['ssf', 'sse', 'risc'].map(
    (family) => `https://schemas.openid.net/secevent/${family}/event-type/verification`,
  ),
)

export function isVerification(type: string): boolean {
  return verification.has(type)
}
